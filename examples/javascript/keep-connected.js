// An MQTT connection that outlives its tokens, by MQTT.js, in Node and in a page.

const NOT_AUTHORIZED = 0x87 // in CONNACK: the broker does not take the token; anything else may pass by itself
const SAME_TOKEN = [0x8b, 0x8d, 0x8e] // in DISCONNECT: it shuts down, keep-alive, taken over; all others may mean the token
const RENEWALS = '$CONTROL/jwt-auth/v1' // where the broker takes a fresh token for a connection
const SESSION_EXPIRY = 3600 // seconds for which the broker keeps what we miss
const MAX_QUEUED = 1000 // messages that wait for a connection
const TIMEOUT = 10_000 // ms for any one step
const STEADY = 60_000 // ms after which a connection was a good one, and not one more failure
const ASSUMED = 300 // seconds that a token is taken to live if the provider does not say
const SHORTEST = 5 // a token is renewed no sooner than one that lives for so many seconds
const LONGEST = 86_400 // and no later than one that lives for so many

// lifetimeOf is for how many seconds a token is taken to live. Some providers say 0, or nothing, of one that is good.
export const lifetimeOf = (expiresIn) => (expiresIn > 0 ? Math.min(expiresIn, LONGEST) : ASSUMED)

// shown escapes what could steer a terminal: what comes from outside is printed by this only.
export const shown = (text) => String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`)

// reason is a reason code for people.
const reason = (code) => (code === NOT_AUTHORIZED ? 'not authorized' : `reason 0x${code.toString(16)}`)

// What a callback throws is said. MQTT.js would let it end the process before the message is acknowledged: the broker sends
// it again, and it ends again.
const guarded = (callback) => async (...args) => {
	try {
		await callback(...args)
	} catch (err) {
		console.error('in a callback:', shown(err?.stack ?? err))
	}
}

// TokenRefused is what fetchToken throws where asking again won't help.
export class TokenRefused extends Error {}

// keepConnected connects with a token and hands the broker a fresh one before it expires. Where the broker does not take that, it
// comes back with it.
//   mqtt        the module MQTT.js
//   url         of the broker
//   options     for mqtt.connect: at least clientId
//   subscribe   topic to subscribe to
//   fetchToken  async () => ({ token, expiresIn }), as the provider says it, in seconds; undefined if it does not
//   onMessage(topic, payload), onStatus(text), onRefused(TokenRefused): nothing is tried any more after the last
// It returns { publish(topic, payload), end() }.
export function keepConnected({ mqtt, url, options, subscribe, fetchToken, ...callbacks }) {
	const onMessage = guarded(callbacks.onMessage)
	const onStatus = guarded(callbacks.onStatus)
	const onAnswer = guarded((_, payload) => readAnswer(payload))
	const onRefused = guarded(callbacks.onRefused)
	// What has not been acknowledged is sent again by the next connection.
	const stores = { incomingStore: new mqtt.Store({ clean: false }), outgoingStore: new mqtt.Store({ clean: false }) }
	const queue = [] // what has not been sent yet
	let client // of the present connection; each has one of its own
	let token
	let expires = 0 // when the token does, and renews when a new one is due: ms
	let renews = 0
	let failures = 0 // in a row, to get a token or to stay connected
	let since // when the broker let us in: ms; undefined: there is no connection
	let credited = false // that connection has ended a row of failures, which it does once
	let subscribed = false // the broker has said so
	let renewals = 0 // so many were asked for; the number is what an answer is known by
	let answered = () => {} // ends the wait for one, with an error or none
	let timer
	let busy = false // step is at work
	let ended = false

	const steady = () => Date.now() - since >= STEADY // false where there is no connection

	// pause counts a failure and is how many ms to wait: up to a minute, and at random, lest a fleet come back all at once.
	// The broker may let us in and then disconnect us for a revoked token: only what lasts ends a row of failures.
	function pause() {
		if (steady() && !credited) {
			failures = 0
			credited = true
		}
		failures++
		return (0.5 + Math.random() / 2) * 1000 * Math.min(60, 2 ** Math.min(failures, 6))
	}

	function later(ms) {
		clearTimeout(timer)
		timer = setTimeout(step, Math.min(ms, 2 ** 31 - 1)) // the longest that it can
	}

	// step does what is due: a new token, a new connection.
	async function step() {
		if (busy || ended) return
		busy = true
		try {
			const patience = Math.min(TIMEOUT, (expires - Date.now()) / 2)
			const fresh = Date.now() >= renews && (await fetchFresh())
			if (fresh && !(await renew(patience))) await leave()
			if (ended) return
			if (!client && Date.now() < expires) connect()
			later(renews - Date.now())
		} catch (err) { // a TokenRefused
			await end()
			onRefused(err)
		} finally {
			busy = false
		}
	}

	async function fetchFresh() {
		try {
			const answer = await fetchToken()
			const lifetime = lifetimeOf(answer.expiresIn)
			token = answer.token
			expires = Date.now() + lifetime * 1000
			renews = Date.now() + Math.max(lifetime, SHORTEST) * 1000 * (0.6 + Math.random() * 0.2)
			if (client?.connected) failures = 0 // it has lasted for as long as its token was to
			return true
		} catch (err) {
			if (err instanceof TokenRefused) throw err
			onStatus(`no token: ${err.message}`)
			renews = Date.now() + pause() // the old one may be good for a while yet
			return false
		}
	}

	// renew hands the broker the token for this connection, and is false if that has not worked.
	async function renew(ms) {
		if (!since || !client?.connected) return false
		const command = { command: 'renewToken', token, correlationData: String(++renewals) }
		let timeout
		const error = await new Promise((done) => {
			answered = done
			timeout = setTimeout(done, ms, 'no answer')
			client.publish(RENEWALS, JSON.stringify({ commands: [command] }), { qos: 1 }, (err) => err && done(err.message))
		})
		clearTimeout(timeout)
		onStatus(error ? `not renewed: ${error}` : 'renewed') // the same token may be good for a login
		return !error
	}

	// readAnswer ends the wait of renew.
	function readAnswer(payload) {
		const answer = JSON.parse(payload)
		const mine = answer.responses?.find((response) => response.correlationData === String(renewals))
		if (mine) answered(mine.error)
		else if (answer.error) answered(answer.error) // Mosquitto 2.1 without the plugin
	}

	function connect() {
		const mine = (client = mqtt.connect(url, {
			...options,
			...stores,
			password: token,
			protocolVersion: 5,
			clean: false, // the session goes on where the broker has kept it
			properties: { sessionExpiryInterval: SESSION_EXPIRY, ...options.properties },
			connectTimeout: TIMEOUT,
			reconnectPeriod: 0, // step decides when, and with which token
		}))
		mine.on('connect', ({ sessionPresent }) => {
			if (mine !== client) return // it was left while it came
			since = Date.now()
			credited = false
			onStatus('connected')
			if (!(sessionPresent && subscribed)) mine.subscribe(subscribe, { qos: 1 }) // otherwise the broker still knows
			for (const message of queue.splice(0)) send(message)
		})
		mine.on('packetreceive', (packet) => {
			if (packet.cmd === 'suback') {
				const denied = packet.granted.find((code) => code >= 0x80)
				subscribed = denied === undefined
				if (!subscribed) onStatus(`not subscribed: ${reason(denied)}`)
			}
			if (packet.cmd === 'puback' && packet.reasonCode >= 0x80) onStatus(`not published: ${reason(packet.reasonCode)}`)
			if (packet.cmd === 'disconnect') {
				onStatus(`disconnected by the broker: ${reason(packet.reasonCode ?? 0)}`)
				if (mine === client && !SAME_TOKEN.includes(packet.reasonCode)) expires = 0
			}
		})
		mine.on('message', (topic, payload) => (topic === `${RENEWALS}/response` ? onAnswer : onMessage)(topic, payload))
		mine.on('error', (err) => {
			if (mine !== client) return // it was left
			onStatus(`not connected: ${err.message}`)
			if (err.code === NOT_AUTHORIZED) expires = 0
		})
		mine.on('close', () => {
			if (mine !== client) return // it was left
			answered('disconnected')
			client = undefined
			// The broker may have let us in and then found the token revoked; its DISCONNECT can be lost.
			if (since && !steady()) expires = 0
			const ms = pause()
			since = undefined
			onStatus('disconnected')
			if (!expires) renews = Date.now() + ms
			later(ms)
		})
	}

	// leave says DISCONNECT when all that was sent has been acknowledged. A connection on which that does not come is
	// taken over by the next one, which has the same client id.
	async function leave() {
		const old = client
		if (!old) return
		client = since = undefined // what is published now waits for the next one
		await Promise.race([old.endAsync(!old.connected), new Promise((done) => setTimeout(done, TIMEOUT))])
	}

	const send = ({ topic, payload }) => client.publish(topic, payload, { qos: 1 }, () => {}) // the store has it

	// publish sends now, or as soon as there is a connection again. False: too much waits already.
	function publish(topic, payload) {
		// MQTT.js is connected a moment before it says so and the queue is sent, which is the earlier part.
		if (since && client.connected) send({ topic, payload })
		else if (queue.length >= MAX_QUEUED) return false
		else queue.push({ topic, payload })
		return true
	}

	async function end() {
		ended = true
		clearTimeout(timer)
		await leave()
	}

	step()
	return { publish, end }
}
