// Who is connected: the list, and all about one of them.
import { disconnect } from './ask.js';
import { byId, el, fill, foreign, put, selecting, setOptions, tell, visible } from './dom.js';
import { Grid } from './grid.js';
import { command, sentence } from './link.js';
import { ago, clock, date, now, span } from './time.js';

const logins = { token: 'Token', password: 'Password', certificate: 'Certificate', anonymous: 'Anonymous', unknown: 'Unknown' };

// paintEvery is the least time between two orders of the list, in ms: more often nobody could read it.
const paintEvery = 250;

const items = new Map(); // by client id
let view = []; // those that are shown, in their order
let dirty = new Set(); // client ids that have changed since view was made
let total = 0;
let listed = false;
let sort = { key: 'since', down: true };
let grid;
let openID;
let detail; // what getSession has said of openID
let known = { providers: '', logins: '' };
let painted = 0;
let painting = false;
let unlearnt = false; // the filters' choices may be others now

// item is a session with what the list needs of it.
function item(s, before) {
	const t = s.token ?? {};
	const ends = t.leavesAt ?? t.expires;
	const i = {
		id: s.clientid, s, ends,
		search: [s.clientid, s.username, s.address, t.sub, t.provider, t.jti, t.hash].filter(Boolean).join('\n').toLowerCase(),
		sorts: {
			id: s.clientid.toLowerCase(), user: (s.username ?? '').toLowerCase(), login: s.login, provider: (t.provider ?? '').toLowerCase(),
			address: s.address ?? '', since: s.connectedAt ?? s.disconnectedAt ?? 0, left: s.login === 'token' ? ends ?? 1e12 : 1e13,
		},
	};
	// How long the token lives in all is not said. It is known from the time at which a renewed one was first seen, and else taken
	// from the login: as if all tokens of the connection had been in use for the same time.
	if (before && before.ends !== ends && before.s.connectedAt === s.connectedAt) i.whole = ends - now();
	else if (before && before.ends === ends && before.whole) i.whole = before.whole;
	else if (s.connectedAt) i.whole = (ends - s.connectedAt) / ((t.renewals ?? 0) + 1);
	return i;
}

// take takes over a line of the stream.
export function take(line) {
	if (line.reset) {
		for (const id of items.keys()) dirty.add(id);
		items.clear();
	}
	for (const s of line.sessions ?? []) {
		items.set(s.clientid, item(s, items.get(s.clientid)));
		dirty.add(s.clientid);
		if (s.clientid === openID) refreshLater();
	}
	for (const id of line.ended ?? []) {
		items.delete(id);
		dirty.add(id);
		if (id === openID) drawDetail();
	}
	total = line.total;
	const note = byId('incomplete');
	note.hidden = !line.listed || line.complete;
	put(note, line.complete ? '' : `Not all clients are known here. ${sentence(visible(line.incomplete ?? ''))}`);
	listed = line.listed;
	schedule();
}

function schedule() {
	if (painting) return;
	painting = true;
	setTimeout(() => requestAnimationFrame(() => {
		painting = false;
		painted = performance.now();
		merge();
	}), Math.max(0, painted + paintEvery - performance.now()));
}

const compare = (a, b) => {
	const x = a.sorts[sort.key];
	const y = b.sorts[sort.key];
	const by = x < y ? -1 : x > y ? 1 : 0;
	if (by !== 0) return sort.down ? -by : by;
	return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
};

function wanted() {
	const words = byId('search').value.toLowerCase().split(/\s+/).filter(Boolean);
	const provider = byId('by-provider').value;
	const login = byId('by-login').value;
	const state = byId('by-state').value;
	return (i) => (provider === '' || (i.s.token && (i.s.token.provider ?? '') === provider.slice(1)))
		&& (login === '' || i.s.login === login)
		&& (state === '' || i.s.connected === (state === 'here'))
		&& words.every((w) => i.search.includes(w));
}

// merge puts what has changed in its place: the rest is in order already.
function merge() {
	const pass = wanted();
	const fresh = [];
	for (const id of dirty) {
		const i = items.get(id);
		if (i && pass(i)) fresh.push(i);
	}
	if (dirty.size > 0) {
		fresh.sort(compare);
		const rest = view.filter((i) => !dirty.has(i.id));
		dirty = new Set();
		view = [];
		let r = 0;
		for (const f of fresh) {
			while (r < rest.length && compare(rest[r], f) < 0) view.push(rest[r++]);
			view.push(f);
		}
		while (r < rest.length) view.push(rest[r++]);
		unlearnt = true;
		if (items.size < 1000) learn();
	}
	show();
}

// order makes the list anew, after another sort or filter.
function order() {
	dirty = new Set();
	view = [...items.values()].filter(wanted()).sort(compare);
	show();
}

function show() {
	put(grid.empty, listed ? 'There is no such client.' : 'The list is being read …');
	grid.set(view);
	const all = Math.max(total, items.size);
	put(byId('count-clients'), all.toLocaleString());
	put(byId('shown'), view.length === items.size && items.size >= total ? `${all.toLocaleString()} ${all === 1 ? 'client' : 'clients'}`
		: items.size < total && view.length === items.size ? `${items.size.toLocaleString()} of ${all.toLocaleString()} …`
			: `${view.length.toLocaleString()} of ${all.toLocaleString()}`);
}

// learn keeps the filters' choices to what there is.
function learn() {
	if (!unlearnt) return;
	unlearnt = false;
	const providers = new Map();
	const ways = new Map();
	for (const { s } of items.values()) {
		if (s.token) providers.set(s.token.provider ?? '', (providers.get(s.token.provider ?? '') ?? 0) + 1);
		ways.set(s.login, (ways.get(s.login) ?? 0) + 1);
	}
	const names = [...providers.keys()].sort();
	if (known.providers !== names.join('\n')) {
		known.providers = names.join('\n');
		const select = byId('by-provider');
		setOptions(select, names.map((p) => ({ value: `=${p}`, text: p ? visible(p) : 'The provider' })));
		select.hidden = names.length < 2 && select.value === '';
	}
	const there = Object.keys(logins).filter((l) => ways.has(l));
	if (known.logins !== there.join('\n')) {
		known.logins = there.join('\n');
		setOptions(byId('by-login'), there.map((l) => ({ value: l, text: logins[l] })));
	}
}

// remaining is what is left of a token: its text, the part of its life, and how urgent that is.
export function remaining(i) {
	if (i.s.login !== 'token') return { text: '', part: 0, level: 'none' };
	if (!i.s.connected) return { text: 'away', part: 0, level: 'none' };
	if (i.ends === undefined) return { text: 'no end', part: 1, level: 'endless' };
	const left = i.ends - now();
	if (left <= 0) return { text: 'has ended', part: 0, level: 'low' };
	const part = Math.min(1, i.whole > 0 ? left / i.whole : 1);
	return { text: span(left), part, level: part < 0.1 ? 'low' : part < 0.25 ? 'soon' : 'good' };
}

const bar = () => [el('span', { className: 'meter', 'aria-hidden': 'true' }, el('span', { className: 'fill' })), el('span', { className: 'left' })];

function setBar(parent, i) {
	const { text, part, level } = remaining(i);
	const meter = parent.querySelector('.meter');
	meter.hidden = level === 'none';
	meter.dataset.level = level;
	meter.firstChild.style.transform = `scaleX(${part.toFixed(3)})`;
	put(parent.querySelector('.left'), text);
}

const text = (of) => (i, e) => {
	const value = of(i);
	put(e.firstChild, value ? visible(value) : '');
};

const bdi = () => [el('bdi')];

const columns = [
	{
		key: 'id', title: 'Client', sort: true, className: 'id',
		make: () => [el('span', { className: 'dot' }), el('bdi'), el('span', { className: 'tag', textContent: 'admin' })],
		cell: (i, e, row) => {
			row.classList.toggle('away', !i.s.connected);
			e.children[0].title = i.s.connected ? 'connected' : 'away: the broker keeps its session';
			put(e.children[1], visible(i.id) || '(empty)');
			e.children[2].hidden = !i.s.admin;
		},
	},
	{ key: 'user', title: 'User', sort: true, className: 'user', make: bdi, cell: text((i) => i.s.username) },
	{
		key: 'login', title: 'Login', sort: true, className: 'login', make: () => [el('span', { className: 'chip' })],
		cell: (i, e) => {
			e.firstChild.dataset.login = i.s.login;
			put(e.firstChild, logins[i.s.login] ?? visible(i.s.login));
		},
	},
	{ key: 'provider', title: 'Provider', sort: true, className: 'provider', make: bdi, cell: text((i) => i.s.token?.provider) },
	{ key: 'address', title: 'Address', sort: true, className: 'address', make: bdi, cell: text((i) => i.s.address) },
	{
		key: 'since', title: 'Since', sort: true, className: 'since', make: bdi,
		cell: (i, e) => {
			const at = i.s.connected ? i.s.connectedAt : i.s.disconnectedAt;
			put(e.firstChild, at ? span(now() - at) : '');
		},
	},
	{ key: 'left', title: 'Token ends in', sort: true, className: 'ends', make: bar, cell: (i, e) => setBar(e, i) },
];

// details

let refreshing;
let asked = 0;

function refreshLater() {
	refreshing ??= setTimeout(() => {
		refreshing = undefined;
		ask();
	}, 500);
}

async function ask() {
	const id = openID;
	if (id === undefined) return;
	const n = ++asked;
	let got;
	try {
		got = (await command('getSession', { clientid: id })).session;
	} catch (e) {
		got = { error: e.message };
	}
	if (n === asked && id === openID) {
		detail = got;
		drawDetail();
	}
}

function open(i) {
	const same = openID === i?.id;
	openID = i?.id;
	if (!same) detail = undefined;
	byId('client').hidden = openID === undefined;
	byId('clients').classList.toggle('with-side', openID !== undefined);
	if (openID === undefined) {
		grid.root.focus();
		return;
	}
	drawDetail();
	ask();
	byId('client').scrollTop = 0;
	if (matchMedia('(max-width: 760px)').matches) byId('client').focus();
}

export function close() {
	if (openID === undefined) return false;
	grid.openItem(undefined);
	return true;
}

const pair = (name, value) => value !== undefined && value !== '' && value !== null
	&& el('div', { className: 'pair' }, el('dt', { textContent: name }), el('dd', {}, value instanceof Node ? value : String(value)));

const mono = (value) => value && foreign(value, 'mono');
const at = (time) => time && el('span', { textContent: clock(time), title: date(time) });

function drawDetail() {
	const side = byId('client');
	if (side.dataset.of === openID && selecting(side)) return;
	side.dataset.of = openID;
	const i = items.get(openID);
	const closing = el('button', { type: 'button', className: 'quiet close', 'aria-label': 'Close', textContent: '✕', on: { click: close } });
	const head = el('div', { className: 'side-head' }, el('h2', {}, foreign(openID ?? '')), closing);
	if (!i) {
		fill(side, head, el('p', { className: 'gone', textContent: 'This client has left.' }));
		return;
	}
	const s = i.s;
	const t = s.token ?? {};
	const d = detail ?? {};
	const life = el('div', { className: 'life', id: 'life' }, ...bar());
	setBar(life, i);
	const rules = d.rights?.rules ?? [];
	fill(
		side, head,
		el('p', { className: 'state' }, el('span', { className: `pill ${s.connected ? 'good' : 'wait'}`, textContent: s.connected ? 'connected' : 'away' }),
			chip(s), s.admin && el('span', { className: 'tag', textContent: 'admin' })),
		el('div', { className: 'actions' },
			s.connected && el('button', { type: 'button', className: 'danger', id: 'disconnect', textContent: 'Disconnect …', on: { click: disconnectOpen } }),
			s.login === 'token' && t.sub && el('button', { type: 'button', textContent: 'Disconnect subject …', on: { click: disconnectSubject } })),
		s.login === 'token' && el('h3', { textContent: 'Token' }),
		s.login === 'token' && life,
		s.login === 'token' && el('dl', {},
			pair('Provider', mono(t.provider)), pair('Subject', mono(t.sub)), pair('Token ID', mono(t.jti ?? t.hash)),
			pair('Expires', t.expires ? at(t.expires) : 'never'), t.leavesAt !== t.expires && pair('Must leave', at(t.leavesAt)),
			pair('Asked about next', at(t.recheckAt)), pair('Renewed', t.renewals && `${t.renewals} ×`)),
		el('h3', { textContent: 'Connection' }),
		el('dl', {},
			pair('User', mono(s.username)), pair('Address', mono(s.address)), pair('Listener', s.port),
			pair('Protocol', `MQTT ${(s.protocolVersion ?? '').replace(/^v/, '')}${s.transport === 'websockets' ? ' over WebSocket' : ''}${s.enhancedAuth ? ', by AUTH' : ''}`),
			pair(s.connected ? 'Connected' : 'Away', s.connected ? s.connectedAt && since(s.connectedAt) : s.disconnectedAt && since(s.disconnectedAt)),
			pair('Keep alive', d.keepAlive !== undefined ? `${d.keepAlive} s` : undefined),
			pair('Clean start', d.cleanStart === undefined ? undefined : d.cleanStart ? 'yes' : 'no'), pair('Subscriptions', d.subscriptions)),
		el('h3', { textContent: 'Rights from its token' }),
		detail === undefined ? el('p', { className: 'hint', textContent: 'asking …' })
			: detail.error ? el('p', { className: 'against', textContent: detail.error })
				: !d.rights ? el('p', { className: 'hint', textContent: 'None: dynamic-security, an ACL file or the broker’s defaults decide what it may do.' })
					: el('div', {},
						rules.length > 0 && el('ol', { className: 'rules' }, ...rules.map(rule)),
						el('p', { className: 'hint', textContent: d.rights.onNoMatch === 'deny' ? 'All else is denied.' : 'All else is left to dynamic-security, an ACL file or the broker’s defaults.' })),
	);
}

const chip = (s) => el('span', { className: 'chip', 'data-login': s.login, textContent: logins[s.login] ?? visible(s.login) });

const since = (time) => el('span', {}, at(time), ' ', el('span', { className: 'faint', textContent: ago(time) }));

// rule is a line such as: may not publish to "a/#" (mqtt.deny[0]).
function rule(line) {
	const [, effect, rest] = /^(may(?: not)?) (.*)$/s.exec(line) ?? [null, '', line];
	return el('li', {}, effect && el('span', { className: `effect ${effect === 'may' ? 'allow' : 'deny'}`, textContent: effect }), foreign(rest));
}

function whom(s) {
	return el('div', { className: 'whom' }, foreign(s.clientid),
		el('span', { className: 'faint' }, ...[s.username && foreign(s.username), s.token?.provider && foreign(s.token.provider), s.address && foreign(s.address)]
			.filter(Boolean).flatMap((e, n) => (n ? [' · ', e] : [e]))));
}

export function disconnectOpen() {
	const i = items.get(openID);
	if (!i?.s.connected) return;
	disconnect({
		title: 'Disconnect this client?', whom: [whom(i.s)], target: { clientid: i.id, shown: i.s }, byToken: i.s.login === 'token',
		hint: 'Most clients come back by themselves within seconds, with the same token. A block refuses all tokens of its subject meanwhile.',
	});
}

function disconnectSubject() {
	const s = items.get(openID)?.s;
	if (!s?.token?.sub) {
		tell('This client has left', true);
		return;
	}
	const { sub, provider } = s.token;
	const n = [...items.values()].filter((i) => i.s.connected && i.s.token?.sub === sub && i.s.token.provider === provider).length;
	disconnect({
		title: 'Disconnect everyone of this subject?',
		whom: [el('div', { className: 'whom' }, foreign(sub), el('span', { className: 'faint' }, `${n} ${n === 1 ? 'client' : 'clients'} now`, provider && ' · ', provider && foreign(provider)))],
		target: provider ? { sub, provider } : { sub }, byToken: true,
		hint: 'Most clients come back by themselves within seconds, with the same token. A block refuses all tokens of this subject meanwhile.',
	});
}

// tick moves what depends on the time.
export function tick() {
	learn();
	grid.paint(true);
	const i = items.get(openID);
	const life = byId('life');
	if (i && life) setBar(life, i);
}

export function start() {
	grid = new Grid(byId('clients-grid'), {
		name: 'clients-rows', label: 'Clients', columns, key: (i) => i.id, open, empty: 'The list is being read …',
		sorted: (key) => {
			sort = { key, down: sort.key === key ? !sort.down : key === 'since' };
			grid.sortedBy(sort.key, sort.down);
			order();
		},
	});
	grid.sortedBy(sort.key, sort.down);
	let due;
	byId('search').addEventListener('input', () => {
		cancelAnimationFrame(due);
		due = requestAnimationFrame(order);
	});
	for (const id of ['by-provider', 'by-login', 'by-state']) byId(id).addEventListener('change', order);
	return grid;
}

// find shows the clients that a text is about.
export function find(words) {
	byId('search').value = words;
	for (const id of ['by-provider', 'by-login', 'by-state']) byId(id).value = '';
	order();
}
