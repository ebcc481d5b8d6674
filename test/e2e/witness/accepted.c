/*
 * accepted.c - plays many random events on cgo/accepted.c and on a list, and ends with 1 as soon as something is held that was not
 * added since its client was forgotten. Its argument is the seed.
 */
#include "../../../cgo/accepted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 3000, TOPICS = 6, ACCESSES = 3, STEPS = 400000 };

static bool added[CLIENTS][TOPICS][ACCESSES];

int main(int argc, char *argv[])
{
	struct accepted *actions = accepted_new();
	char longest[ACCEPTED_TOPIC_MAX + 2];
	const char *topics[TOPICS] = {"", "a", "a/b", "a/c", longest, longest + 1};
	int held = 0;

	srand(argc > 1 ? (unsigned)atoi(argv[1]) : 1);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for(int step = 0; step < STEPS; step++){
		int c = rand() % CLIENTS, t = rand() % TOPICS, a = rand() % ACCESSES;
		struct action action = {
				.client = 0x5555000000 + (uintptr_t)c * 16,
				.access = a == 2 ? 2 : 1,
				.qos = a == 1,
				.topic = topics[t],
				.length = strlen(topics[t]),
		};
		bool has = accepted_has(actions, &action);

		if(has && (!added[c][t][a] || action.length > ACCEPTED_TOPIC_MAX)){
			printf("step %d: client %d, topic %d, access %d is held\n", step, c, t, a);
			return 1;
		}
		held += has;
		if(rand() % 4 == 0){
			accepted_forget(actions, action.client);
			memset(added[c], 0, sizeof(added[c]));
			continue;
		}
		accepted_add(actions, &action);
		added[c][t][a] = true;
		if(!accepted_has(actions, &action) && action.length <= ACCEPTED_TOPIC_MAX){
			printf("step %d: what was just added is not held\n", step);
			return 1;
		}
	}
	free(actions);
	if(held < STEPS / 100){
		printf("only %d were held\n", held);
		return 1;
	}
	return 0;
}
