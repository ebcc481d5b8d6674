/*
 * accepted.c - a cache with a row for each client, which it may share with others.
 */
#include "accepted.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 1024, IN_A_ROW = 4 };

struct entry {
	/* 0: free. */
	uintptr_t client;
	uint8_t access, qos, retain, length;
	char topic[ACCEPTED_TOPIC_MAX];
};

struct row {
	struct entry entries[IN_A_ROW];
};

struct accepted {
	struct row rows[ROWS];
	/* Which entry of each row is replaced next. */
	uint8_t oldest[ROWS];
};

struct accepted *accepted_new(void)
{
	return calloc(1, sizeof(struct accepted));
}

/* As in client_set.c. */
static size_t row_of(uintptr_t client)
{
	return (size_t)(((uint64_t)client * UINT64_C(0x9E3779B97F4A7C15)) >> 32) % ROWS;
}

static bool is_same(const struct entry *entry, const struct action *action)
{
	return entry->client == action->client && entry->length == action->length && entry->access == action->access &&
			entry->qos == action->qos && entry->retain == action->retain &&
			memcmp(entry->topic, action->topic, action->length) == 0;
}

bool accepted_has(const struct accepted *actions, const struct action *action)
{
	const struct row *row;

	if(actions == NULL || action->client == 0 || action->length > ACCEPTED_TOPIC_MAX){
		return false;
	}
	row = &actions->rows[row_of(action->client)];
	for(int i = 0; i < IN_A_ROW; i++){
		if(is_same(&row->entries[i], action)){
			return true;
		}
	}
	return false;
}

void accepted_add(struct accepted *actions, const struct action *action)
{
	struct entry *entry;
	size_t row;

	if(actions == NULL || action->client == 0 || action->length > ACCEPTED_TOPIC_MAX){
		return;
	}
	row = row_of(action->client);
	entry = &actions->rows[row].entries[actions->oldest[row]];
	actions->oldest[row] = (uint8_t)((actions->oldest[row] + 1) % IN_A_ROW);
	entry->client = action->client;
	entry->access = action->access;
	entry->qos = action->qos;
	entry->retain = action->retain;
	entry->length = (uint8_t)action->length;
	memcpy(entry->topic, action->topic, action->length);
}

void accepted_forget(struct accepted *actions, uintptr_t client)
{
	struct row *row;

	if(actions == NULL){
		return;
	}
	row = &actions->rows[row_of(client)];
	for(int i = 0; i < IN_A_ROW; i++){
		if(row->entries[i].client == client){
			row->entries[i].client = 0;
		}
	}
}
