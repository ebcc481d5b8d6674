module go-jwt-auth/examples/go

go 1.26.0

require (
	github.com/eclipse/paho.golang v0.23.0
	golang.org/x/oauth2 v0.37.0
)

require (
	github.com/gorilla/websocket v1.5.3 // indirect
	golang.org/x/net v0.43.0 // indirect
)
