// The way to the command that serves this page: a key for the ticket in the address, a stream of what the broker says, and commands.

const aliveWithin = 25000; // ms; the server says something every 10 s
const again = 2000; // ms
const unseen = 60000; // ms after which a page that nobody sees lets go of the stream

export class Closed extends Error {}

let key = sessionStorage.getItem('key');

// open takes the ticket out of the address, so that neither history nor bookmarks keep it, and gets the key for it.
export async function open() {
	const ticket = location.hash.slice(1);
	if (!ticket) {
		if (!key) throw new Closed('This page is opened by the address that the command shows in its terminal.');
		return;
	}
	history.replaceState(null, '', '/');
	const answer = await fetch('/api/open', post({ ticket }));
	const body = await answer.json();
	if (!answer.ok) {
		sessionStorage.removeItem('key');
		throw new Closed(sentence(body.error));
	}
	key = body.key;
	sessionStorage.setItem('key', key); // this tab's and this origin's alone, and it ends with the command
}

// sentence is a text with a capital at its beginning and a stop at its end.
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1).replace(/([^.?!])$/, '$1.');

const headers = () => ({ Authorization: `Bearer ${key}` });

function post(body) {
	return {
		method: 'POST', headers: { ...(key ? headers() : {}), 'Content-Type': 'application/json' }, body: JSON.stringify(body),
		redirect: 'error', referrerPolicy: 'no-referrer',
	};
}

// command has the broker do something, and returns its answer. It throws what the broker says against it.
export async function command(name, args) {
	let answer, body;
	try {
		answer = await fetch(`/api/${name}`, post(args));
		body = await answer.json();
	} catch {
		throw new Error('The command go-jwt-auth ui does not answer.');
	}
	if (!answer.ok) throw new Error(sentence(body.error));
	return body;
}

export async function guides() {
	const answer = await fetch('/api/guides', { headers: headers() });
	return answer.ok ? answer.json() : {};
}

const turn = () => globalThis.scheduler?.yield?.() ?? new Promise((done) => setTimeout(done));

// follow calls f with each thing that the broker says, until the key is no longer good. state is called with "here" and "gone".
export async function follow(f, state) {
	for (;;) {
		await seen();
		const end = new AbortController();
		const released = letGo(end);
		try {
			await read(f, state, end);
		} catch (e) {
			if (e instanceof Closed) {
				state('closed', e.message);
				return;
			}
			if (!end.signal.aborted || end.signal.reason === 'silent') state('gone');
		} finally {
			released();
		}
		await new Promise((done) => setTimeout(done, again));
	}
}

// seen waits until somebody can see the page.
function seen() {
	if (!document.hidden) return undefined;
	return new Promise((done) => document.addEventListener('visibilitychange', done, { once: true }));
}

// letGo ends the stream of a page that has not been seen for a while: the broker need not be asked for it.
function letGo(end) {
	let timer;
	const look = () => {
		clearTimeout(timer);
		if (document.hidden) timer = setTimeout(() => end.abort('unseen'), unseen);
	};
	document.addEventListener('visibilitychange', look);
	look();
	return () => {
		clearTimeout(timer);
		document.removeEventListener('visibilitychange', look);
	};
}

async function read(f, state, end) {
	let timer;
	const alive = () => {
		clearTimeout(timer);
		timer = setTimeout(() => end.abort('silent'), aliveWithin);
	};
	try {
		alive();
		const answer = await fetch('/api/events', { headers: headers(), signal: end.signal });
		if (answer.status === 401) {
			sessionStorage.removeItem('key');
			throw new Closed(sentence((await answer.json()).error));
		}
		if (!answer.ok) throw new Error(answer.statusText);
		state('here');
		const decoder = new TextDecoder();
		const reader = answer.body.getReader();
		let parts = [];
		let since = performance.now();
		for (;;) {
			const { done, value } = await reader.read();
			if (done) throw new Error('ended');
			alive();
			const lines = decoder.decode(value, { stream: true }).split('\n');
			parts.push(lines.shift());
			for (const next of lines) {
				const line = parts.join('');
				parts = [next];
				f(JSON.parse(line));
				if (performance.now() - since > 8) { // frames come first
					await turn();
					since = performance.now();
				}
			}
		}
	} finally {
		clearTimeout(timer);
	}
}
