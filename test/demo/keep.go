package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"go-jwt-auth/test/harness"
)

// handbook is what KEEP=1 prints. Its commands are for any POSIX shell, and stay within 100 columns.
const handbook = `
All happened as told. The broker and the provider stay until Ctrl-C.

  broker            mqtt://{at}, Mosquitto {version}
  its folder        {dir}
                    with mosquitto.conf, jwt.json, dynamic-security.json, mosquitto.log, and token:
                    one of sensor-1's, good for {longLife} hours
  provider          {issuer}
                    with /.well-known/openid-configuration; the clients sensor-1 and
                    sensor-1-short, secret "{secret}", obtain tokens by client credentials
  dynamic-security  user "{admin}", password "{adminPassword}"; user "{operator}", who may ask
                    the plugin who is connected, with the password in ops-password

To try by hand, each in a terminal of its own, after this in all of them:
  cd {dir}
  export GO_JWT_AUTH_URL=mqtt://{at}

What the plugin says:
  tail -f mosquitto.log | grep go_jwt_auth
Who is connected, and who comes and goes; who was refused:
  ./go-jwt-auth clients --watch --admin {operator} --password-file ops-password
  ./go-jwt-auth refusals --admin {operator} --password-file ops-password
sensor-1 listens:
  mosquitto_sub {to} -u whoever -P "$(cat token)" -v -t 'sensors/1/#'
sensor-1 publishes, on its own topic, and on another's:
  mosquitto_pub {to} -u me -P "$(cat token)" -t sensors/1/a -m 21.5
  mosquitto_pub {to} -u me -P "$(cat token)" -V 5 -q 1 -t sensors/2/a -m 99
A token for {shortLife} seconds, fresh from the provider: then the client is sent away, for good.
  short=$(curl -s -u sensor-1-short:{secret} -d grant_type=client_credentials \
    {tokenURI} | sed 's/.*"access_token":"//; s/".*//')
  mosquitto_sub {to} -u anyone -P "$short" -V 5 -d -t 'sensors/1/#'
Revoke the token in the file: who is connected stays, but nobody gets in with it any more.
  curl -s -u sensor-1:{secret} -d "token=$(cat token)" {revocationURI}
Another for the file:
  curl -s -u sensor-1:{secret} -d grant_type=client_credentials \
    {tokenURI} | sed 's/.*"access_token":"//; s/".*//' >token

Ctrl-C here stops everything and removes the folder.
`

// byHand prints what can be tried while everything stays up.
func (r *run) byHand(ctx context.Context, s *stage) {
	// The scenes' token is revoked.
	s.broker.WriteFile("token", s.obtain(ctx, longLived))
	s.broker.WriteFile("ops-password", operatorPassword)
	if err := os.Symlink(harness.Tool(r), s.broker.Path("go-jwt-auth")); err != nil {
		r.Fatalf("demo: %v", err)
	}
	at, err := url.Parse(s.broker.URL(0))
	if err != nil {
		r.Fatalf("demo: %v", err)
	}
	r.tell("%s", strings.NewReplacer(
		"{at}", at.Host,
		"{to}", "-h "+at.Hostname()+" -p "+at.Port(),
		"{version}", s.broker.Version.Name,
		"{dir}", s.broker.Dir,
		"{longLife}", fmt.Sprint(longLife.Hours()),
		"{shortLife}", fmt.Sprint(shortLife.Seconds()),
		"{issuer}", s.provider.Issuer(),
		"{tokenURI}", s.provider.TokenURI(),
		"{revocationURI}", s.provider.RevocationURI(),
		"{secret}", secret,
		"{admin}", harness.AdminUser,
		"{adminPassword}", harness.AdminPassword,
		"{operator}", operator,
	).Replace(strings.Trim(handbook, "\n")))
}
