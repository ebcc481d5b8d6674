// Times. The broker's are seconds since 1970.

export const now = () => Date.now() / 1000;

const day = 86400;

// span is a duration in its two largest units: "4 min 12 s".
export function span(seconds) {
	const s = Math.max(0, Math.floor(seconds));
	if (s < 60) return `${s} s`;
	if (s < 3600) return s < 600 && s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 60)} min`;
	if (s < day) return two(s, 3600, 'h', 60, 'min');
	return two(s, day, 'd', 3600, 'h');
}

function two(s, large, one, small, other) {
	const rest = Math.floor((s % large) / small);
	return `${Math.floor(s / large)} ${one}${rest ? ` ${rest} ${other}` : ''}`;
}

export const ago = (time) => (now() - time < 1 ? 'just now' : `${span(now() - time)} ago`);

const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const timeOnly = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

export const date = (time) => dateAndTime.format(time * 1000);

// clock is the time of day, with the date before it unless it is today.
export function clock(time) {
	const at = new Date(time * 1000);
	return at.toDateString() === new Date().toDateString() ? timeOnly.format(at) : dateAndTime.format(at);
}
