/*
 * accepted.h - the last actions of clients that Go has accepted, so that it is not asked again about each message. It holds
 * as many, and no more; of those that it does not hold, Go is asked. It belongs to the broker's thread.
 */
#ifndef ACCEPTED_H
#define ACCEPTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longer topics are not held. */
#define ACCEPTED_TOPIC_MAX 116

struct action {
	uintptr_t client;
	uint8_t access, qos, retain;
	const char *topic;
	size_t length;
};

struct accepted;

/* NULL: there is no memory, and nothing is held. */
struct accepted *accepted_new(void);

bool accepted_has(const struct accepted *actions, const struct action *action);
void accepted_add(struct accepted *actions, const struct action *action);

/* Whatever the client was allowed. */
void accepted_forget(struct accepted *actions, uintptr_t client);

#endif
