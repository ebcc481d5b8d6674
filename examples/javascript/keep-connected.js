// An MQTT connection that outlives its tokens, by MQTT.js, in Node and in a page.

const NOT_AUTHORIZED = 0x87 // the broker does not take the token; anything else may pass by itself
const SESSION_EXPIRY = 3600 // seconds for which the broker keeps what we miss
const MAX_QUEUED = 1000 // messages that wait for a connection
const TIMEOUT = 10_000 // ms for any one step

// TokenRefused is what fetchToken throws where asking again won't help.
export class TokenRefused extends Error {}

// keepConnected connects with a token and comes back with a fresh one before it expires.
//   mqtt        the module MQTT.js
//   url         of the broker
//   options     for mqtt.connect: at least clientId
//   subscribe   topic to subscribe to
//   fetchToken  async () => ({ token, lifetime }), lifetime in seconds
//   onMessage(topic, payload), onStatus(text), onRefused(TokenRefused): nothing is tried any more after the last
// It returns { publish(topic, payload), end() }.
export function keepConnected({ mqtt, url, options, subscribe, fetchToken, onMessage, onStatus, onRefused }) {
	// What has not been acknowledged is sent again by the next connection.
	const stores = { incomingStore: new mqtt.Store({ clean: false }), outgoingStore: new mqtt.Store({ clean: false }) }
	const queue = [] // what has not been sent yet
	let client // of the present connection; each has one of its own
	let token
	let expires = 0 // when the token does, and renews when a new one is due: ms
	let renews = 0
	let failures = 0 // in a row, to get a token or a connection
	let timer
	let busy = false // step is at work
	let ended = false

	// Up to a minute, and at random, lest a fleet come back all at once.
	const pause = () => (0.5 + Math.random() / 2) * 1000 * Math.min(60, 2 ** Math.min(++failures, 6))

	function later(ms) {
		clearTimeout(timer)
		timer = setTimeout(step, Math.min(ms, 2 ** 31 - 1)) // the longest that it can
	}

	// step does what is due: a new token, a new connection.
	async function step() {
		if (busy || ended) return
		busy = true
		try {
			const fresh = Date.now() >= renews && (await fetchFresh())
			if (fresh) await leave()
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
			token = answer.token
			expires = Date.now() + answer.lifetime * 1000
			renews = Date.now() + answer.lifetime * 1000 * (0.6 + Math.random() * 0.2)
			return true
		} catch (err) {
			if (err instanceof TokenRefused) throw err
			onStatus(`no token: ${err.message}`)
			renews = Date.now() + pause() // the old one may be good for a while yet
			return false
		}
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
			failures = 0
			onStatus('connected')
			if (!sessionPresent) mine.subscribe(subscribe, { qos: 1 }) // otherwise the broker still knows
			for (const message of queue.splice(0)) send(message)
		})
		mine.on('message', onMessage)
		mine.on('error', (err) => {
			onStatus(`not connected: ${err.message}`)
			if (err.code === NOT_AUTHORIZED) expires = 0
		})
		mine.on('close', () => {
			if (mine !== client) return // it was left
			client = undefined
			const ms = pause()
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
		client = undefined // what is published now waits for the next one
		await Promise.race([old.endAsync(!old.connected), new Promise((done) => setTimeout(done, TIMEOUT))])
	}

	const send = ({ topic, payload }) => client.publish(topic, payload, { qos: 1 }, () => {}) // the store has it

	// publish sends now, or as soon as there is a connection again. False: too much waits already.
	function publish(topic, payload) {
		if (client?.connected) send({ topic, payload })
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
