// A page whose users log in at the provider (authorization code grant with PKCE, RFC 6749 section 4.1 and RFC 7636), and
// that then stays connected to the broker by refresh tokens. All tokens are in this module's memory and nowhere else: a
// page that is loaded anew sends its user to the provider again, which knows who it is and asks nothing.
import mqtt from 'mqtt'
import * as oauth from 'oauth4webapi'
import { keepConnected, lifetimeOf, TokenRefused } from '../keep-connected.js'

const settings = await (await fetch('settings.json')).json()
const issuer = new URL(settings.issuer)
const client = { client_id: settings.clientId }
const redirectUri = location.origin + location.pathname // must be registered at the provider
const isLocal = ['localhost', '127.0.0.1', '[::1]'].includes(issuer.hostname)
const options = { [oauth.allowInsecureRequests]: isLocal, signal: () => AbortSignal.timeout(10_000) }

const $ = (id) => document.getElementById(id)
const status = (text) => ($('status').textContent = text)

let discovered
async function server() {
	discovered ??= await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options))
	return discovered
}

// login leaves this page for the provider's. What is needed after the return waits in sessionStorage.
async function login() {
	const verifier = oauth.generateRandomCodeVerifier()
	const state = oauth.generateRandomState()
	sessionStorage.setItem('login', JSON.stringify({ verifier, state }))
	const url = new URL((await server()).authorization_endpoint)
	url.search = new URLSearchParams({
		client_id: client.client_id,
		response_type: 'code',
		redirect_uri: redirectUri,
		scope: settings.scope,
		state,
		code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
		code_challenge_method: 'S256',
		...(settings.audience && { audience: settings.audience }),
	})
	location.assign(url)
}

// comeBack is the other half of login: the code in this page's address becomes tokens.
async function comeBack() {
	const { verifier, state } = JSON.parse(sessionStorage.getItem('login') ?? '{}')
	sessionStorage.removeItem('login')
	const parameters = new URLSearchParams(location.search)
	history.replaceState(null, '', redirectUri) // a code is good once, and no bookmark
	// Whoever sends a user here with a code of their own has them work in a foreign account (RFC 6749 section 10.12).
	if (!state) throw new Error('this page has not asked for a login')
	const as = await server()
	const checked = oauth.validateAuthResponse(as, client, parameters, state)
	const response = await oauth.authorizationCodeGrantRequest(as, client, oauth.None(), checked, redirectUri, verifier, options)
	return oauth.processAuthorizationCodeResponse(as, client, response)
}

let refreshToken
async function refresh() {
	if (!refreshToken) throw new TokenRefused('the provider has given no refresh token')
	const as = await server()
	try {
		const response = await oauth.refreshTokenGrantRequest(as, client, oauth.None(), refreshToken, options)
		return await oauth.processRefreshTokenResponse(as, client, response)
	} catch (err) {
		// The user's session is over: revoked, or unused for too long.
		if (err.error && [400, 401].includes(err.status)) throw new TokenRefused(err.error)
		throw err
	}
}

let count = 0
function start(first) {
	let next = first // the token that came with the login
	const session = keepConnected({
		mqtt,
		url: settings.mqttUrl,
		// Each tab is a client of its own. The broker soon forgets those that are closed.
		options: { clientId: `page-${crypto.randomUUID()}`, username: client.client_id, keepalive: 30, properties: { sessionExpiryInterval: 60 } },
		subscribe: settings.topic,
		async fetchToken() {
			const answer = next ?? (await refresh())
			next = undefined
			refreshToken = answer.refresh_token ?? refreshToken // many providers give a new one each time
			$('tokens').textContent = ++count
			$('expires').textContent = new Date(Date.now() + lifetimeOf(answer.expires_in) * 1000).toLocaleTimeString()
			return { token: answer.access_token, expiresIn: answer.expires_in }
		},
		onMessage(_, payload) {
			const line = document.createElement('li')
			line.textContent = payload.toString()
			$('messages').append(line)
			line.scrollIntoView({ block: 'nearest' })
		},
		onStatus: status,
		onRefused(err) {
			clearInterval(publishing)
			status(`please log in again (${err.message})`)
			$('login').hidden = false
			$('logout').hidden = true
		},
	})
	let number = 1
	const publishing = setInterval(() => {
		if (session.publish(settings.topic, String(number))) number++
	}, settings.intervalMs ?? 1000)

	$('logout').hidden = false
	$('logout').onclick = async () => {
		$('logout').hidden = true
		clearInterval(publishing)
		await session.end()
		const as = await server()
		if (refreshToken && as.revocation_endpoint) await oauth.revocationRequest(as, client, oauth.None(), refreshToken, options)
		refreshToken = undefined
		status('logged out')
		$('login').hidden = false
	}
}

$('login').onclick = () => login().catch((err) => status(`can't log in: ${err.message}`))
try {
	if (/[?&](code|error)=/.test(location.search)) {
		start(await comeBack())
	} else {
		status('not logged in')
		$('login').hidden = false
	}
} catch (err) {
	status(`can't log in: ${err.error ?? err.message}`)
	$('login').hidden = false
}
