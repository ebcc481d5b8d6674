// A table of which only the rows that can be seen are there, however many it has.
import { el } from './dom.js';

const spare = 6; // rows above and below

// Grid: columns are {key, title, cell(item, element), sort, className, make()}; an item is known by key(item).
// open(item) is called for a click, Enter or Space, and with undefined for Esc; sorted(key) for a click at a column's title.
export class Grid {
	constructor(place, { label, columns, key, open, sorted, empty, anchored, name }) {
		Object.assign(this, { columns, key, open, anchored, name, items: [], active: -1, activeKey: undefined, openKey: undefined, pool: [] });
		this.head = el('div', { role: 'row', className: 'row head', 'aria-rowindex': '1' }, ...columns.map((c) => {
			const title = c.sort
				? el('button', { type: 'button', tabIndex: -1, textContent: c.title, on: { click: () => sorted(c.key) } })
				: el('span', { textContent: c.title });
			return (c.head = el('div', { role: 'columnheader', className: `cell ${c.className ?? ''}` }, title));
		}));
		this.body = el('div', { className: 'body', role: 'rowgroup' });
		this.empty = el('p', { className: 'empty', textContent: empty });
		this.root = el('div', {
			className: `grid ${name}`, role: 'grid', tabIndex: 0, 'aria-label': label, 'aria-colcount': String(columns.length),
			on: { keydown: (e) => this.keydown(e), scroll: () => this.paint(), click: (e) => this.click(e), focus: () => this.focus() },
		}, el('div', { role: 'rowgroup', className: 'heads' }, this.head), this.body, this.empty);
		place.replaceWith(this.root);
		new ResizeObserver(() => this.measure()).observe(this.root);
		this.measure();
	}

	measure() {
		const style = getComputedStyle(this.root);
		this.height = parseFloat(style.getPropertyValue('--row')) || 36;
		this.headHeight = this.head.offsetHeight;
		this.paint(true);
	}

	// set shows these items, in their order.
	set(items) {
		let first;
		if (this.anchored && this.root.scrollTop > 0) {
			const at = Math.floor(this.root.scrollTop / this.height);
			first = this.items[at] && { key: this.key(this.items[at]), at };
		}
		this.items = items;
		if (this.activeKey !== undefined) {
			const at = this.items[this.active];
			if (!at || this.key(at) !== this.activeKey) {
				this.active = this.items.findIndex((i) => this.key(i) === this.activeKey);
				if (this.active < 0) this.activeKey = undefined;
			}
		}
		this.root.setAttribute('aria-rowcount', String(items.length + 1));
		this.empty.hidden = items.length > 0;
		this.body.style.height = `${items.length * this.height}px`;
		if (first) {
			const moved = this.items.findIndex((i) => this.key(i) === first.key) - first.at;
			if (moved > 0) this.root.scrollTop += moved * this.height;
		}
		this.paint(true);
	}

	// paint puts the rows that can be seen in their places; all: also those that are there already.
	paint(all) {
		if (all) this.body.style.height = `${this.items.length * this.height}px`;
		const from = Math.max(0, Math.floor(this.root.scrollTop / this.height) - spare);
		const to = Math.min(this.items.length, Math.ceil((this.root.scrollTop + this.root.clientHeight - this.headHeight) / this.height) + spare);
		const free = [];
		const there = new Map();
		for (const row of this.pool) {
			if (row.index >= from && row.index < to) there.set(row.index, row);
			else free.push(row);
		}
		for (let i = from; i < to; i++) {
			let row = there.get(i);
			if (row && !all) continue;
			row ??= free.pop() ?? this.add();
			this.show(row, i);
		}
		for (const row of free) {
			row.index = -1;
			row.element.hidden = true;
		}
		this.mark();
	}

	add() {
		const cells = this.columns.map((c) => el('div', { role: 'gridcell', className: `cell ${c.className ?? ''}` }, ...(c.make?.() ?? [])));
		const row = { element: el('div', { role: 'row', className: 'row' }, ...cells), cells, index: -1 };
		this.body.append(row.element);
		this.pool.push(row);
		return row;
	}

	show(row, i) {
		const item = this.items[i];
		if (row.index !== i) {
			row.element.style.transform = `translateY(${i * this.height}px)`;
			row.element.setAttribute('aria-rowindex', String(i + 2));
			row.element.id = `${this.name}-${i}`;
			row.element.hidden = false;
			row.index = i;
		}
		this.columns.forEach((c, n) => c.cell(item, row.cells[n], row.element));
	}

	// mark says which row the keys are at, and which is open.
	mark() {
		for (const row of this.pool) {
			if (row.index < 0) continue;
			const key = this.key(this.items[row.index]);
			row.element.classList.toggle('active', row.index === this.active);
			row.element.setAttribute('aria-selected', String(key === this.openKey));
		}
		if (this.active >= 0) this.root.setAttribute('aria-activedescendant', `${this.name}-${this.active}`);
		else this.root.removeAttribute('aria-activedescendant');
	}

	focus() {
		if (this.active < 0 && this.items.length > 0) this.go(Math.min(this.items.length - 1, Math.ceil(this.root.scrollTop / this.height)));
	}

	go(i) {
		this.active = Math.max(0, Math.min(this.items.length - 1, i));
		if (this.items.length === 0) {
			this.active = -1;
			return;
		}
		this.activeKey = this.key(this.items[this.active]);
		const top = this.active * this.height;
		const room = this.root.clientHeight - this.headHeight;
		if (top < this.root.scrollTop) this.root.scrollTop = top;
		else if (top + this.height > this.root.scrollTop + room) this.root.scrollTop = top + this.height - room;
		this.paint();
	}

	keydown(e) {
		if (e.ctrlKey || e.metaKey || e.altKey || e.target !== this.root) return;
		const page = Math.max(1, Math.floor((this.root.clientHeight - this.headHeight) / this.height) - 1);
		const to = {
			ArrowDown: this.active + 1, ArrowUp: this.active - 1, PageDown: this.active + page, PageUp: this.active - page, Home: 0, End: this.items.length - 1,
		}[e.key];
		if (to !== undefined) this.go(to);
		else if ((e.key === 'Enter' || e.key === ' ') && this.active >= 0) this.openItem(this.items[this.active]);
		else return;
		e.preventDefault();
	}

	click(e) {
		if (e.target.closest('button')) return;
		const row = this.pool.find((r) => r.element.contains(e.target));
		if (!row || row.index < 0) return;
		this.go(row.index);
		this.openItem(this.items[row.index]);
	}

	openItem(item) {
		this.openKey = item && this.key(item);
		this.mark();
		this.open?.(item);
	}

	// sortedBy shows in the titles what the items are sorted by.
	sortedBy(key, down) {
		for (const c of this.columns) {
			if (!c.sort) continue;
			if (c.key === key) c.head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
			else c.head.removeAttribute('aria-sort');
		}
	}
}
