/*
 * clients.c - a program that does to a set of clients whatever comes to its mind, and to a plain table the same, and ends
 * with 1 as soon as the two differ. It is built together with cgo/client_set.c. Its argument is the seed.
 */
#include "../../../cgo/client_set.h"

#include <stdio.h>
#include <stdlib.h>

enum { ADDRESSES = 4096, STEPS = 400000 };

static uint64_t state;

/* xorshift64 */
static unsigned int any(unsigned int below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned int)(state % below);
}

int main(int argc, char *argv[])
{
	static bool in[ADDRESSES];
	struct client_set set = {0};
	size_t count = 0;

	state = argc > 1 ? strtoull(argv[1], NULL, 10) | 1 : 1;
	for(int step = 0; step < STEPS; step++){
		/* It fills and empties by turns. */
		bool adding = any(100) < ((step / 20000) % 2 ? 20 : 80);
		unsigned int i = any(ADDRESSES);
		/* As malloc gives them. */
		uintptr_t client = 0x5555000000 + (uintptr_t)i * 16;

		if(adding){
			client_set_add(&set, client);
			count += !in[i];
		}else{
			client_set_remove(&set, client);
			count -= in[i];
		}
		in[i] = adding;
		i = any(ADDRESSES);
		if(client_set_has(&set, 0x5555000000 + (uintptr_t)i * 16) != in[i] || set.count != count || set.size < 2 * set.count){
			printf("step %d: client %u, %zu of %zu, %zu expected\n", step, i, set.count, set.size, count);
			return 1;
		}
	}
	for(unsigned int i = 0; i < ADDRESSES; i++){
		client_set_remove(&set, 0x5555000000 + (uintptr_t)i * 16);
	}
	printf("%zu of %zu\n", set.count, set.size);
	client_set_free(&set);
	return set.count == 0 && set.size == 64 ? 0 : 1;
}
