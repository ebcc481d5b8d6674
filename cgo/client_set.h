/*
 * client_set.h - a set of clients by their addresses, which belongs to the broker's thread. It is empty when it is zeroed.
 */
#ifndef CLIENT_SET_H
#define CLIENT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_set {
	/* 0: free. */
	uintptr_t *slots;
	/* size is a power of two, or 0. */
	size_t size, count;
	/* There was no memory for a client: from then on all count as in the set. */
	bool all;
};

bool client_set_has(const struct client_set *set, uintptr_t client);

/* To add what is there and to remove what is not does nothing. */
void client_set_add(struct client_set *set, uintptr_t client);
void client_set_remove(struct client_set *set, uintptr_t client);

void client_set_free(struct client_set *set);

#endif
