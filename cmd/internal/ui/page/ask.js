// Questions before something is done, and the list of keys.
import { el, foreign, tell } from './dom.js';
import { command } from './link.js';
import { clock } from './time.js';

// dialog shows a question and resolves when it is closed. Esc closes it as Cancel does.
function dialog(title, content, buttons) {
	const box = el('dialog', { 'aria-labelledby': 'question' }, el('h2', { id: 'question', textContent: title }), ...content, el('div', { className: 'buttons' }, ...buttons));
	document.body.append(box);
	const before = document.activeElement;
	box.addEventListener('close', () => {
		box.remove();
		before?.focus?.();
	});
	box.addEventListener('click', (e) => {
		if (e.target === box) box.close();
	});
	box.showModal();
	return box;
}

const button = (text, className, click) => el('button', { type: 'button', className, textContent: text, on: { click } });

// ask shows a question with a button that does it; act throws what is against it, which is then shown, and the question stays.
function ask(title, content, does, act) {
	const against = el('p', { className: 'against', role: 'alert', hidden: true });
	const cancel = button('Cancel', '', () => box.close());
	const go = button(does, 'danger', async () => {
		go.disabled = true;
		try {
			await act();
			box.close();
		} catch (e) {
			against.textContent = e.message;
			against.hidden = false;
			go.disabled = false;
		}
	});
	const box = dialog(title, [...content, against], [cancel, go]);
	cancel.focus(); // so that Enter alone does nothing
}

const blocks = [['', 'No'], ['60', 'For 1 minute'], ['600', 'For 10 minutes'], ['3600', 'For 1 hour'], ['86400', 'For 24 hours'], ['other', 'For …']];

// disconnect asks, and disconnects whom target is about. whom are the elements that name them; byToken: they can be blocked.
export function disconnect({ title, whom, target, byToken, hint }) {
	const seconds = el('input', { type: 'number', min: '1', max: '86400', value: '300', className: 'seconds', 'aria-label': 'Seconds' });
	const other = el('span', { className: 'other', hidden: true }, seconds, ' seconds');
	const block = el('select', {
		id: 'block', disabled: !byToken,
		on: { change: () => { other.hidden = block.value !== 'other'; } },
	}, ...blocks.map(([value, textContent]) => el('option', { value, textContent })));
	const reason = el('input', { id: 'reason', type: 'text', maxLength: 200, autocomplete: 'off' });
	ask(title, [
		...whom,
		el('label', { htmlFor: 'block', textContent: 'Keep it out' }), el('div', {}, block, other),
		el('p', { className: 'hint', textContent: byToken ? hint : 'Only a login by token can be blocked. Most clients come back by themselves within seconds.' }),
		el('label', { htmlFor: 'reason', textContent: 'Reason, for log and audit trail (optional)' }), reason,
	], 'Disconnect', async () => {
		const args = { ...target };
		if (block.value) args.block = Number(block.value === 'other' ? seconds.value : block.value);
		if (block.value && !(Number.isInteger(args.block) && args.block >= 1 && args.block <= 86400)) {
			throw new Error('A block lasts from 1 to 86400 seconds.');
		}
		if (reason.value) args.reason = reason.value;
		const done = await command('disconnectSession', args);
		const n = `${done.disconnected} ${done.disconnected === 1 ? 'client' : 'clients'}`;
		tell(done.blockedUntil ? `Disconnected ${n}; blocked until ${clock(done.blockedUntil)}` : `Disconnected ${n}`);
	});
}

export function removeBlock(block) {
	ask('Remove this block?', [
		el('p', { className: 'whom' }, foreign(block.sub ?? block.jti ?? block.hash ?? '')),
		el('p', { className: 'hint', textContent: 'Its next login is judged by its token again.' }),
	], 'Remove', async () => {
		await command('removeBlock', { id: block.id });
		tell('The block is removed');
	});
}

const keys = [
	['/', 'search'], ['↑ ↓', 'go through the rows; Page Up, Page Down, Home and End too'], ['Enter', 'open the row'], ['D', 'disconnect the open client, after a question'],
	['Esc', 'close what is open, empty the search'], ['1 2 3 4', 'clients, refusals, providers, blocks'], ['?', 'these keys'],
];

export function help() {
	const close = button('Close', '', () => box.close());
	const box = dialog('Keys', [el('dl', { className: 'keys' }, ...keys.flatMap(([key, does]) => [
		el('dt', {}, ...key.split(' ').map((k) => el('kbd', { textContent: k }))), el('dd', { textContent: does }),
	]))], [close]);
	close.focus();
}
