// One MQTT.js client that is left to its own reconnect logic, for test/harness.
// The only argument is a JSON object that says who connects where; each event
// is one JSON object on a line of standard output. It runs until it is killed.
import mqtt from 'mqtt'
import { createWebsocket } from './websocket.mjs'

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const { url, protocol, login, topic } = JSON.parse(process.argv[2])

const client = mqtt.connect(url, {
	protocolVersion: protocol,
	clientId: login.clientId,
	username: login.username,
	password: login.password === undefined ? undefined : Buffer.from(login.password, 'base64'),
	keepalive: login.keepAlive,
	createWebsocket,
	manualConnect: true, // so that the first attempt is heard, too
})
client.on('packetsend', (packet) => {
	if (packet.cmd === 'connect') say({ event: 'attempt' })
})
client.on('packetreceive', (packet) => {
	if (packet.cmd === 'connack') say({ event: 'connack', code: protocol === 5 ? packet.reasonCode : packet.returnCode })
})
client.on('connect', () => client.subscribe(topic, { qos: 1 }))
client.on('message', (_, payload) => say({ event: 'message', payload: payload.toString() }))
client.on('error', (err) => process.stderr.write(`${err}\n`)) // unheard, it would end the process
client.connect()
