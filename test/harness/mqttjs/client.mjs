// One MQTT.js client, driven by test/harness: requests come on standard input,
// one JSON object a line, and each gets one answer with its id on standard
// output. Messages and the end of the connection are lines without an id.
import { createInterface } from 'node:readline'
import mqtt from 'mqtt'
import { createWebsocket } from './websocket.mjs'

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
let client

const requests = {
	connect({ url, protocol, login }, answer) {
		const v5 = protocol === 5
		client = mqtt.connect(url, {
			protocolVersion: protocol,
			clientId: login.clientId,
			username: login.username,
			password: login.password === undefined ? undefined : Buffer.from(login.password, 'base64'),
			clean: login.clean,
			keepalive: login.keepAlive,
			will: login.will && {
				topic: login.will.topic,
				payload: login.will.payload,
				qos: login.will.qos,
				retain: login.will.retain,
				properties: v5 ? { willDelayInterval: login.will.delay } : undefined,
			},
			properties: v5 ? { sessionExpiryInterval: login.sessionExpiry } : undefined,
			reconnectPeriod: 0,
			connectTimeout: 30_000,
			createWebsocket,
		})
		client.on('packetreceive', (packet) => {
			if (packet.cmd === 'connack') {
				answer({
					code: v5 ? packet.reasonCode : packet.returnCode,
					sessionPresent: packet.sessionPresent,
					assignedId: packet.properties?.assignedClientIdentifier,
					reason: packet.properties?.reasonString,
				})
			}
			if (packet.cmd === 'disconnect') say({ end: true, packet: true, code: packet.reasonCode })
		})
		client.on('message', (topic, payload, { qos, retain }) => {
			say({ topic, payload: payload.toString('base64'), qos, retain })
		})
		client.on('error', (err) => {
			// What the broker did is told by its packets and by 'close'.
			if (err.code === undefined || err.code === 'ECONNREFUSED') answer({ error: String(err) })
		})
		client.on('close', () => {
			answer({ closed: true })
			say({ end: true, packet: false })
		})
	},
	subscribe({ filter, qos }, answer) {
		// What the callback calls granted is what was asked for when the broker says no.
		let code
		const note = (packet) => {
			if (packet.cmd === 'suback') code = packet.granted[0]
		}
		client.on('packetreceive', note)
		client.subscribe(filter, { qos }, (err) => {
			client.off('packetreceive', note)
			answer(code === undefined ? { error: String(err) } : { code })
		})
	},
	publish({ topic, payload, qos }, answer) {
		let code = 0
		const note = (packet) => {
			if (['puback', 'pubrec'].includes(packet.cmd)) code = packet.reasonCode ?? 0
		}
		client.on('packetreceive', note)
		client.publish(topic, Buffer.from(payload, 'base64'), { qos }, (err) => {
			client.off('packetreceive', note)
			answer(err && code < 0x80 ? { error: String(err) } : { code })
		})
	},
	disconnect(_, answer) {
		client.end(false, () => answer({}))
	},
	drop(_, answer) {
		client.stream.destroy()
		answer({})
	},
}

for await (const line of createInterface({ input: process.stdin })) {
	const { id, op, ...request } = JSON.parse(line)
	let answered = false
	requests[op](request, (result) => {
		if (!answered) say({ id, ...result })
		answered = true
	})
}
process.exit(0) // the test has gone
