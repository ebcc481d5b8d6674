// Who was refused, and what to do about it.
import { byId, el, fill, foreign, put, setOptions, visible } from './dom.js';
import { Grid } from './grid.js';
import { clock, date } from './time.js';

const kept = 1000; // while the page is open; the broker keeps 256

let all = []; // the latest first
let guides = {};
let grid;
let openItem;
let unread = 0;
let visibleNow = false;

// Reasons that speak of the provider or the broker, not of the token.
const outages = new Set(['keys unavailable', 'provider unavailable', 'server busy', 'internal error']);

export function take(line) {
	const fresh = line.refusals.map((r) => ({
		r, key: `${r.time} ${r.id}`,
		search: [r.clientid, r.username, r.address, r.provider, r.sub, r.jti, r.hash, r.reason, r.detail].filter(Boolean).join('\n').toLowerCase(),
	})).reverse();
	if (line.reset) {
		const were = new Set(all.map((i) => i.key));
		const missed = fresh.filter((i) => !were.has(i.key));
		if (all.length > 0) unread += missed.length;
		all = [...missed, ...all];
	} else {
		all = [...fresh, ...all];
		unread += fresh.length;
	}
	all = all.slice(0, kept);
	const reasons = new Map();
	for (const { r } of all) reasons.set(r.reason, (reasons.get(r.reason) ?? 0) + 1);
	setOptions(byId('by-reason'), [...reasons].sort((a, b) => b[1] - a[1]).map(([value, n]) => ({ value, text: `${visible(value)} (${n})` })));
	show();
}

function show() {
	if (visibleNow) unread = 0;
	const reason = byId('by-reason').value;
	const words = byId('search-refusals').value.toLowerCase().split(/\s+/).filter(Boolean);
	const view = all.filter((i) => (reason === '' || i.r.reason === reason) && words.every((w) => i.search.includes(w)));
	grid.set(view);
	put(byId('shown-refusals'), view.length === all.length ? all.length ? `the last ${all.length}` : '' : `${view.length} of the last ${all.length}`);
	const count = byId('count-refusals');
	put(count, unread ? `${unread > 999 ? '999+' : unread} new` : '');
	count.classList.toggle('new', unread > 0);
}

// seen says whether the list is in sight, so that nothing in it is new any more.
export function seen(now) {
	visibleNow = now;
	show();
	if (now) grid.measure();
}

export function setGuides(g) {
	guides = g;
	if (openItem) draw();
}

const bdi = () => [el('bdi')];

const columns = [
	{ key: 'time', title: 'Time', className: 'time', make: () => [el('span')], cell: (i, e) => put(e.firstChild, clock(i.r.time)) },
	{
		key: 'reason', title: 'Reason', className: 'reason', make: () => [el('span', { className: 'chip' })],
		cell: (i, e) => {
			e.firstChild.dataset.level = outages.has(i.r.reason) ? 'soon' : 'low';
			put(e.firstChild, visible(i.r.reason));
		},
	},
	{ key: 'client', title: 'Client', className: 'id', make: bdi, cell: (i, e) => put(e.firstChild, visible(i.r.clientid) || '(empty)') },
	{ key: 'detail', title: 'Detail', className: 'why', make: bdi, cell: (i, e) => put(e.firstChild, visible(i.r.detail)) },
	{ key: 'provider', title: 'Provider', className: 'provider', make: bdi, cell: (i, e) => put(e.firstChild, visible(i.r.provider)) },
	{ key: 'address', title: 'Address', className: 'address', make: bdi, cell: (i, e) => put(e.firstChild, visible(i.r.address)) },
];

function open(i) {
	openItem = i;
	byId('refusal').hidden = !i;
	byId('refusals').classList.toggle('with-side', Boolean(i));
	if (!i) {
		grid.root.focus();
		return;
	}
	draw();
	byId('refusal').scrollTop = 0;
	if (matchMedia('(max-width: 760px)').matches) byId('refusal').focus();
}

export function close() {
	if (!openItem) return false;
	grid.openItem(undefined);
	return true;
}

const pair = (name, value, own) => value && el('div', { className: 'pair' }, el('dt', { textContent: name }), el('dd', {}, own ? value : foreign(value, 'mono')));

function draw() {
	const { r } = openItem;
	fill(
		byId('refusal'),
		el('div', { className: 'side-head' }, el('h2', { textContent: visible(r.reason) }),
			el('button', { type: 'button', className: 'quiet close', 'aria-label': 'Close', textContent: '✕', on: { click: close } })),
		el('p', { className: 'detail' }, foreign(r.detail)),
		el('dl', {},
			pair('When', date(r.time), true), pair('What', r.about === 'renewal' ? 'the renewal of a token' : 'a login', true), pair('Client', r.clientid), pair('User', r.username),
			pair('Address', r.address), pair('Provider', r.provider), pair('Subject', r.sub), pair('Token ID', r.jti ?? r.hash)),
		el('h3', { textContent: 'What to do' }),
		...guide(guides[r.reason]),
	);
}

// guide is the text of docs/troubleshooting.md.
function guide(blocks) {
	if (!blocks) return [el('p', { className: 'hint', textContent: 'This plugin is newer than the tool: its own documents have this reason.' })];
	const spans = (list) => list.map((s) => el(s.code ? 'code' : 'span', { textContent: s.text }));
	return blocks.map(({ kind, items }) => {
		if (kind === 'example') return el('pre', { tabIndex: 0, 'aria-label': 'A line of the log' }, items[0][0].text);
		if (kind === 'list') return el('ul', {}, ...items.map((i) => el('li', {}, ...spans(i))));
		return el('p', {}, ...spans(items[0]));
	});
}

export function start() {
	grid = new Grid(byId('refusals-grid'), {
		name: 'refusals-rows', label: 'Refusals', columns, key: (i) => i.key, open, anchored: true, empty: 'Nobody has been refused.',
	});
	byId('search-refusals').addEventListener('input', show);
	byId('by-reason').addEventListener('change', show);
	return grid;
}
