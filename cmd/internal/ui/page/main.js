// The page: what is shown, and which key does what.
import { help } from './ask.js';
import * as blocks from './blocks.js';
import * as clients from './clients.js';
import { byId, visible } from './dom.js';
import { Closed, follow, guides, open } from './link.js';
import * as providers from './providers.js';
import * as refusals from './refusals.js';
import { clock, now } from './time.js';

const views = ['clients', 'refusals', 'providers', 'blocks'];
const grids = { clients: clients.start(), refusals: refusals.start(), blocks: blocks.start() };
let shown = 'clients';

function show(view, focus) {
	shown = view;
	sessionStorage.setItem('view', view);
	for (const v of views) {
		byId(v).hidden = v !== view;
		const tab = byId(`tab-${v}`);
		tab.setAttribute('aria-selected', String(v === view));
		tab.tabIndex = v === view ? 0 : -1;
	}
	refusals.seen(view === 'refusals');
	grids[view]?.measure();
	if (view === 'providers') providers.draw();
	if (focus) byId(`tab-${view}`).focus();
}

for (const v of views) byId(`tab-${v}`).addEventListener('click', () => show(v));
byId('tab-clients').parentElement.addEventListener('keydown', (e) => {
	const at = views.indexOf(shown);
	const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: views.length - 1 }[e.key];
	if (to === undefined) return;
	show(views[(to + views.length) % views.length], true);
	e.preventDefault();
});
byId('help').addEventListener('click', help);

document.addEventListener('keydown', (e) => {
	if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
	const typing = e.target.matches('input, select, textarea');
	if (e.key === 'Escape') {
		if (e.target.matches('input[type=search]')) {
			e.target.value = '';
			e.target.dispatchEvent(new Event('input'));
			grids[shown]?.root.focus();
		} else if (!(shown === 'clients' && clients.close())) refusals.close();
	} else if (typing && e.target.matches('input[type=search]') && (e.key === 'ArrowDown' || e.key === 'Enter')) grids[shown]?.root.focus();
	else if (typing) return;
	else if (e.key === '/') byId(shown === 'refusals' ? 'search-refusals' : 'search').focus();
	else if (e.key === '?') help();
	else if (e.key.toLowerCase() === 'd' && shown === 'clients') clients.disconnectOpen();
	else if (views[Number(e.key) - 1]) show(views[Number(e.key) - 1], true);
	else return;
	if (e.key === '/' && shown !== 'refusals') show('clients');
	e.preventDefault();
});

// The banner says what is wrong, and the pill in one word how it is.
let linked = 'connecting';
let lastHeard = 0;

function say(state, text) {
	linked = state;
	const pill = byId('link');
	const words = { connected: 'live', connecting: 'connecting', lost: 'no broker', denied: 'not allowed', gone: 'no command', closed: 'closed' };
	pill.textContent = words[state];
	pill.className = `pill ${state === 'connected' ? 'good' : state === 'connecting' ? 'wait' : 'bad'}`;
	const banner = byId('banner');
	const message = text && lastHeard && state !== 'closed' ? `${text} What is shown is as of ${clock(lastHeard)}.` : text;
	banner.hidden = !message;
	if (banner.textContent !== (message ?? '')) banner.textContent = message ?? '';
	document.body.classList.toggle('old', state !== 'connected' && state !== 'connecting');
}

const takes = {
	about: (line) => {
		byId('broker').textContent = visible(line.broker);
		document.title = `${visible(line.broker)} – go-jwt-auth`;
	},
	link: (line) => {
		const text = visible(line.text ?? '');
		if (line.state === 'connected') say('connected');
		else if (line.state === 'denied') say('denied', text);
		else say('lost', `The broker does not answer, and is tried again: ${text}.`);
	},
	clients: clients.take, refusals: refusals.take, status: providers.take, blocks: blocks.take,
};

function take(line) {
	try {
		takes[line.type]?.(line);
	} catch (e) { // of an answer in another form, which must not keep the rest from being shown
		reportError(e);
	}
	if (linked === 'connected') lastHeard = now();
}

setInterval(() => {
	providers.tick(linked === 'connected');
	if (document.hidden) return;
	if (shown === 'clients') clients.tick();
	if (shown === 'blocks') blocks.tick();
}, 1000);

show(views.includes(sessionStorage.getItem('view')) ? sessionStorage.getItem('view') : 'clients');

try {
	await open();
	guides().then(refusals.setGuides, () => {});
	await follow(take, (state, text) => {
		if (state === 'gone') say('gone', 'The command go-jwt-auth ui has ended or does not answer. Start it again, and open the address that it shows.');
		if (state === 'here' && linked === 'gone') say('connecting');
		if (state === 'closed') say('closed', text);
	});
} catch (e) {
	say('closed', e instanceof Closed ? e.message : 'The command go-jwt-auth ui does not answer. Start it again, and open the address that it shows.');
}
