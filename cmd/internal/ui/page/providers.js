// How the plugin and its providers are.
import { byId, el, fill, foreign, put, selecting, visible } from './dom.js';
import { ago, date, now, span } from './time.js';

const kept = 120; // samples, one every two seconds

let status;
let samples = []; // {at, logins, refusals}

export function take(line) {
	status = line.status;
	const bad = status.providers.filter((p) => level(p) !== 'good').length;
	const count = byId('count-providers');
	put(count, bad ? `${bad} not well` : String(status.providers.length));
	count.classList.toggle('new', bad > 0);
	if (!byId('providers').hidden) draw();
}

// tick notes the counts, which come only when they have changed, and moves what depends on the time.
export function tick(live) {
	if (!status || !live) return;
	const last = samples.at(-1);
	if (last && now() - last.at < 1.9) return;
	if (last && (status.logins < last.logins || status.refusals < last.refusals)) samples = []; // the broker has started again
	samples.push({ at: now(), logins: status.logins, refusals: status.refusals });
	samples = samples.slice(-kept);
	if (!byId('providers').hidden) draw();
}

// level is how a provider is, in one word.
function level(p) {
	if (!p.ready) return 'low';
	if (p.keys?.stale || p.keys?.error || p.revocation?.error || (p.revocation && p.revocation.breaker !== 'closed')) return 'soon';
	return 'good';
}

const words = { good: 'ready', soon: 'in trouble', low: 'not ready' };

const number = (name, value, hint) => el('div', { className: 'number' }, el('dd', { textContent: typeof value === 'number' ? value.toLocaleString() : value }),
	el('dt', { textContent: name }), hint && el('p', { className: 'hint', textContent: hint }));

// rate is how many there were in a second, of late.
function rate(of) {
	const recent = samples.filter((s) => now() - s.at < 11);
	const [first, last] = [recent[0], recent.at(-1)];
	if (!first || last.at - first.at < 1) return undefined;
	const n = (last[of] - first[of]) / (last.at - first.at);
	return `${n < 10 ? n.toFixed(1).replace(/\.0$/, '') : Math.round(n)} a second`;
}

const svg = (tag, attributes) => {
	const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
	for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
	return e;
};

// line draws how many there were in each two seconds.
function line(of) {
	const per = samples.slice(1).map((s, i) => Math.max(0, s[of] - samples[i][of]));
	if (per.length < 3) return null;
	const most = Math.max(...per, 1);
	const points = per.map((n, i) => `${((kept - per.length + i) / (kept - 2) * 120).toFixed(1)},${(22 - n / most * 20).toFixed(1)}`).join(' ');
	const e = svg('svg', { viewBox: '0 0 120 24', class: `spark ${of}`, 'aria-hidden': 'true', preserveAspectRatio: 'none' });
	e.append(svg('polyline', { points, fill: 'none', 'vector-effect': 'non-scaling-stroke' }));
	return e;
}

const pair = (name, value) => value !== undefined && value !== '' && value !== null && value !== false
	&& el('div', { className: 'pair' }, el('dt', { textContent: name }), el('dd', {}, value instanceof Node ? value : String(value)));

const when = (time) => (time ? el('span', { textContent: ago(time), title: date(time) }) : undefined);
const ms = (n) => (n < 10 ? `${n.toFixed(1)} ms` : n < 10000 ? `${Math.round(n)} ms` : `${(n / 1000).toFixed(1)} s`);

function provider(p) {
	const how = level(p);
	const k = p.keys; // not of a key in the file itself
	const r = p.revocation;
	const breakers = { closed: 'closed', open: 'open: it is left alone', 'half-open': 'half-open: one request tries it' };
	return el('article', { className: 'card', 'data-level': how },
		el('header', {}, el('h3', {}, p.name ? foreign(p.name) : 'The provider'), el('span', { className: `pill ${how === 'good' ? 'good' : how === 'soon' ? 'wait' : 'bad'}`, textContent: words[how] })),
		...(p.issuers?.length ? p.issuers : ['any other issuer']).slice(0, 4).map((i) => el('p', { className: 'issuer' }, foreign(i))),
		p.issuers?.length > 4 && el('p', { className: 'hint', textContent: `and ${p.issuers.length - 4} more issuers` }),
		el('dl', {},
			pair('Mode', visible([p.mode, ...[p.algorithm ?? []].flat()].join(', '))), pair('Clients', p.sessions.toLocaleString()),
			pair('Listener', p.listener), pair('File', p.instance && foreign(p.instance, 'mono'))),
		k && el('h4', { textContent: 'Keys' }),
		k && el('dl', {},
			pair('In use', `${k.count.toLocaleString()}${k.stale ? ', the last good ones' : ''}`), pair('Read', when(k.lastSuccess)),
			k.lastAttempt !== k.lastSuccess && pair('Tried', when(k.lastAttempt)), pair('From', k.endpoint && foreign(k.endpoint, 'mono'))),
		k?.error && el('p', { className: 'against' }, foreign(k.error)),
		r && el('h4', { textContent: 'Revocation' }),
		r && el('dl', {},
			pair('Asked', visible(r.check)), pair('Breaker', el('span', { className: `pill ${r.breaker === 'closed' ? 'good' : 'bad'}`, textContent: breakers[r.breaker] ?? visible(r.breaker) })),
			pair('Latency', r.latencyMs && el('span', { textContent: `${ms(r.latencyMs.p50)} median, ${ms(r.latencyMs.p99)} p99`, title: `of the last ${r.latencyMs.count} requests` })),
			pair('Under way', `${r.inFlight}, ${r.queued} waiting`), pair('Answered', when(r.lastSuccess)), pair('At', foreign(r.endpoint, 'mono'))),
		r?.error && el('p', { className: 'against' }, foreign(r.error)),
	);
}

export function draw() {
	const place = byId('providers');
	if (!status) {
		fill(place, el('p', { className: 'empty', textContent: 'Nothing is known yet.' }));
		return;
	}
	if (selecting(place)) return;
	const s = status;
	fill(
		place,
		el('dl', { className: 'numbers' },
			number('clients', s.sessions.connected, `${s.sessions.token.toLocaleString()} by token, ${(s.sessions.all - s.sessions.connected).toLocaleString()} away`),
			withLine(number('logins', s.logins, rate('logins')), 'logins'), withLine(number('refusals', s.refusals, rate('refusals')), 'refusals'),
			number('pending', s.pending, `${s.queued.toLocaleString()} in the queue`),
			number('running', span(now() - s.startedAt), `version ${visible(s.version)}${s.broker.version ? `, Mosquitto ${visible(s.broker.version)}` : ''}`),
			number('reloads', s.reloads.count, s.reloads.lastAt ? ago(s.reloads.lastAt) : 'none since it started')),
		s.reloads.lastError && el('p', { className: 'against' }, 'The last reload has failed, and the file from before is in force: ', foreign(s.reloads.lastError)),
		!s.broker.ticks && el('p', { className: 'note', textContent: 'This broker does not call the plugin regularly, so that nobody is disconnected when a token ends.' }),
		el('div', { className: 'cards' }, ...s.providers.map(provider)),
		s.configFile && el('p', { className: 'hint file' }, foreign(s.configFile)),
	);
}

function withLine(e, of) {
	const l = line(of);
	if (l) e.append(l);
	return e;
}
