// Elements and text. What comes from the broker becomes text alone (textContent), never markup.

// el makes an element. Properties that hold a dash or are role are set as attributes.
export function el(tag, properties = {}, ...children) {
	const e = document.createElement(tag);
	for (const [name, value] of Object.entries(properties)) {
		if (value === undefined || value === null || value === false) continue;
		if (name === 'on') for (const [event, f] of Object.entries(value)) e.addEventListener(event, f);
		else if (name === 'role' || name.includes('-')) e.setAttribute(name, value === true ? '' : value);
		else e[name] = value;
	}
	e.append(...children.filter((c) => c !== undefined && c !== null && c !== false));
	return e;
}

export const byId = (id) => document.getElementById(id);

// Controls, line and paragraph separators, what turns the order of letters round, and what can't be seen.
const hidden = /[\p{Cc}\p{Zl}\p{Zp}\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\uffff\u{e0000}-\u{e0fff}]|\p{Cs}/gu;

// visible is foreign text as one line, in which nothing can hide or pose as something else.
export function visible(text) {
	return String(text ?? '').replace(hidden, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

// foreign is such text as an element, which keeps its direction to itself.
export function foreign(text, className) {
	return el('bdi', { className, textContent: visible(text) });
}

// put sets text where it has changed.
export function put(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

// fill replaces what is in an element.
export function fill(element, ...children) {
	element.replaceChildren(...children.filter((c) => c !== undefined && c !== null && c !== false));
}

// selecting tells whether somebody marks text in an element, which drawing it anew would undo.
export function selecting(element) {
	const s = getSelection();
	return s.type === 'Range' && element.contains(s.anchorNode);
}

const toldAt = { timer: 0 };

// tell says for a few seconds what has come of an action.
export function tell(text, bad) {
	const told = byId('told');
	told.textContent = text;
	told.classList.toggle('bad', Boolean(bad));
	told.classList.add('shown');
	clearTimeout(toldAt.timer);
	toldAt.timer = setTimeout(() => told.classList.remove('shown'), bad ? 12000 : 6000);
}

// setOptions replaces the options of a select, but for its first.
export function setOptions(select, values) {
	const was = [...select.options].slice(1);
	if (was.length === values.length && was.every((o, i) => o.value === values[i].value && o.text === values[i].text)) return;
	const chosen = select.value;
	fill(select, select.options[0], ...values.map((v) => el('option', { value: v.value, textContent: v.text })));
	select.value = chosen;
	if (select.selectedIndex < 0) select.value = '';
}
