/*
 * client_set.c - open addressing with linear probing, never more than half full.
 */
#include "client_set.h"

#include <stdlib.h>

enum { CLIENT_SET_MIN = 64 };

/* Addresses of allocated memory differ in their middle bits. The factor is 2^64 divided by the golden ratio. */
static size_t client_slot(uintptr_t client, size_t size)
{
	return (size_t)(((uint64_t)client * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (size - 1);
}

/* The slot that the client is in, or else is to be in. There is always a free one. */
static size_t client_set_find(const struct client_set *set, uintptr_t client)
{
	size_t at = client_slot(client, set->size);

	while(set->slots[at] != 0 && set->slots[at] != client){
		at = (at + 1) & (set->size - 1);
	}
	return at;
}

bool client_set_has(const struct client_set *set, uintptr_t client)
{
	return set->all || (set->count > 0 && set->slots[client_set_find(set, client)] == client);
}

static bool client_set_resize(struct client_set *set, size_t size)
{
	struct client_set old = *set;
	uintptr_t *slots = calloc(size, sizeof(uintptr_t));

	if(slots == NULL){
		return false;
	}
	set->slots = slots;
	set->size = size;
	for(size_t i = 0; i < old.size; i++){
		if(old.slots[i] != 0){
			set->slots[client_set_find(set, old.slots[i])] = old.slots[i];
		}
	}
	free(old.slots);
	return true;
}

void client_set_add(struct client_set *set, uintptr_t client)
{
	size_t at;

	if((set->count + 1) * 2 > set->size && !client_set_resize(set, set->size ? set->size * 2 : CLIENT_SET_MIN)){
		set->all = true;
		return;
	}
	at = client_set_find(set, client);
	if(set->slots[at] == 0){
		set->slots[at] = client;
		set->count++;
	}
}

void client_set_remove(struct client_set *set, uintptr_t client)
{
	size_t hole;

	if(set->count == 0){
		return;
	}
	hole = client_set_find(set, client);
	if(set->slots[hole] == 0){
		return;
	}
	/* Whoever had to go further because of the removed client moves up, so that nobody is behind a free slot. */
	for(size_t at = (hole + 1) & (set->size - 1); set->slots[at] != 0; at = (at + 1) & (set->size - 1)){
		size_t home = client_slot(set->slots[at], set->size);

		if(((at - home) & (set->size - 1)) >= ((at - hole) & (set->size - 1))){
			set->slots[hole] = set->slots[at];
			hole = at;
		}
	}
	set->slots[hole] = 0;
	set->count--;
	if(set->size > CLIENT_SET_MIN && set->count * 8 < set->size){
		/* If there is no memory for it, it stays as it is. */
		client_set_resize(set, set->size / 2);
	}
}

void client_set_free(struct client_set *set)
{
	free(set->slots);
}
