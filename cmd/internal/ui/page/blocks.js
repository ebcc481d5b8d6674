// Who is kept out.
import { removeBlock } from './ask.js';
import { byId, el, put, visible } from './dom.js';
import { Grid } from './grid.js';
import { clock, now, span } from './time.js';

let grid;

export function take(line) {
	const all = [...(line.blocks.blocks ?? [])].sort((a, b) => a.until - b.until);
	grid.set(all);
	put(byId('count-blocks'), all.length ? String(line.blocks.totalCount ?? all.length) : '');
}

const bdi = () => [el('bdi')];
const text = (of) => (b, e) => put(e.firstChild, visible(of(b)));

const columns = [
	{
		key: 'who', title: 'Subject or token', className: 'id', make: () => [el('bdi'), el('span', { className: 'tag', textContent: 'token' })],
		cell: (b, e) => {
			put(e.children[0], visible(b.sub ?? b.jti ?? b.hash));
			e.children[1].hidden = b.sub !== undefined;
		},
	},
	{ key: 'provider', title: 'Provider', className: 'provider', make: bdi, cell: text((b) => b.provider) },
	{ key: 'until', title: 'Until', className: 'until', make: bdi, cell: text((b) => `${clock(b.until)} (${span(b.until - now())})`) },
	{ key: 'by', title: 'By', className: 'user', make: bdi, cell: text((b) => b.by) },
	{ key: 'why', title: 'Reason', className: 'why', make: bdi, cell: text((b) => b.reason) },
	{
		key: 'remove', title: '', className: 'remove', make: () => [el('button', { type: 'button', tabIndex: -1, textContent: 'Remove …' })],
		cell: (b, e) => { e.firstChild.onclick = () => removeBlock(b); },
	},
];

export const tick = () => grid.paint(true);

export function start() {
	grid = new Grid(byId('blocks-grid'), {
		name: 'blocks-rows', label: 'Blocks', columns, key: (b) => b.id, empty: 'Nobody is blocked.',
		open: (b) => {
			if (!b) return;
			grid.openKey = undefined;
			grid.mark();
			removeBlock(b);
		},
	});
	return grid;
}
