import WebSocket from 'ws'

// createWebsocket is how MQTT.js would make one, but it sends no empty frames,
// at which Mosquitto 2.1.2 loses its place (eclipse-mosquitto/mosquitto#3704).
export function createWebsocket(url, protocols, { wsOptions }) {
	const socket = new WebSocket(url, protocols, wsOptions)
	const send = socket.send.bind(socket)
	socket.send = (data, done) => (data.length ? send(data, done) : done())
	return socket
}
