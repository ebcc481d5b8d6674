// An MQTT client that logs in with a token and comes back with a fresh one in time. It publishes a number every
// INTERVAL seconds and prints what arrives on the same topic. The settings are environment variables: see
// ../../README.md.
import { readFileSync } from 'node:fs'
import mqtt from 'mqtt'
import * as oauth from 'oauth4webapi'
import { keepConnected, shown, TokenRefused } from '../keep-connected.js'

function fail(message) {
	process.stderr.write(`${shown(message)}\n`)
	process.exit(1)
}

function setting(name, value = process.env[name]) {
	return value || fail(`${name} is not set`)
}

const { env } = process
const issuer = new URL(setting('ISSUER'))
const clientId = setting('CLIENT_ID')
const secret = env.CLIENT_SECRET_FILE ? readFileSync(env.CLIENT_SECRET_FILE, 'utf8').trim() : setting('CLIENT_SECRET')
const topic = env.TOPIC || 'examples/node'
// Node reads further authorities from a variable of its own, and only when it starts.
if (env.CA_FILE && !env.NODE_EXTRA_CA_CERTS) fail('run it by `npm start`, or set NODE_EXTRA_CA_CERTS to CA_FILE')
if (issuer.protocol !== 'https:' && !['localhost', '127.0.0.1', '[::1]'].includes(issuer.hostname)) {
	fail('ISSUER must begin with https://, or the secret could be read on its way')
}

// Client credentials grant (RFC 6749 section 4.4).
let server
async function fetchToken() {
	const options = { [oauth.allowInsecureRequests]: issuer.protocol === 'http:', signal: () => AbortSignal.timeout(10_000) }
	try {
		server ??= await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options))
		const form = new URLSearchParams()
		if (env.SCOPE) form.set('scope', env.SCOPE)
		if (env.AUDIENCE) form.set('audience', env.AUDIENCE)
		const client = { client_id: clientId }
		const response = await oauth.clientCredentialsGrantRequest(server, client, oauth.ClientSecretBasic(secret), form, options)
		const answer = await oauth.processClientCredentialsResponse(server, client, response)
		return { token: answer.access_token, expiresIn: answer.expires_in }
	} catch (err) {
		if (err.error && [400, 401].includes(err.status)) { // RFC 6749 section 5.2
			throw new TokenRefused(`the provider gives no token: ${err.error} ${err.error_description ?? ''}`.trim())
		}
		if (err.code === oauth.JSON_ATTRIBUTE_COMPARISON && err.cause?.attribute === 'issuer') {
			throw new TokenRefused(`ISSUER is ${env.ISSUER}, but the provider calls itself ${err.cause.body.issuer}`)
		}
		if (err.code === oauth.HTTP_REQUEST_FORBIDDEN) {
			throw new TokenRefused('token_endpoint must begin with https://, or the secret could be read on its way')
		}
		throw err.cause instanceof Error ? err.cause : err // fetch itself says no more than that it has failed
	}
}

const session = keepConnected({
	mqtt,
	url: setting('MQTT_URL'),
	options: { clientId: env.MQTT_CLIENT_ID || clientId, username: clientId, keepalive: 30 },
	subscribe: topic,
	fetchToken,
	onMessage: (_, payload) => console.log('received', shown(payload)), // your code goes here
	onStatus: (text) => console.log(shown(text)),
	onRefused: (err) => fail(err.message),
})

let number = 1
setInterval(() => {
	if (session.publish(topic, String(number))) number++
}, Number(env.INTERVAL || 1) * 1000)

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => session.end().then(() => process.exit(0)))
