/*
 * accept.c - the cheapest plugin there can be: it lets everybody in, or with `plugin_opt_refuse` nobody. What a login costs
 * with it is what the broker itself costs. With `plugin_opt_busy` it first keeps the processor for so many us: what a login then
 * costs beyond that would be due to the measurement.
 */
#include "go_jwt_auth.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static mosquitto_plugin_id_t *identifier;
static int answer = MOSQ_ERR_SUCCESS;
static long busy_ns;

/* What this thread has used of a processor. */
static long used_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return used.tv_sec * 1000000000L + used.tv_nsec;
}

static int on_basic_auth(int event, void *event_data, void *userdata)
{
	(void)event;
	(void)event_data;
	(void)userdata;
	if(busy_ns > 0){
		const long begin = used_ns();

		while(used_ns() - begin < busy_ns){
		}
	}
	return answer;
}

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for(int i = 0; i < supported_version_count; i++){
		if(supported_versions[i] == 5){
			return 5;
		}
	}
	return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **userdata, struct mosquitto_opt *options, int option_count)
{
	(void)userdata;
	identifier = id;
	for(int i = 0; i < option_count; i++){
		if(strcmp(options[i].key, "refuse") == 0){
			answer = MOSQ_ERR_AUTH;
		}
		if(strcmp(options[i].key, "busy") == 0){
			busy_ns = strtol(options[i].value, NULL, 10) * 1000;
		}
	}
	return mosquitto_callback_register(id, MOSQ_EVT_BASIC_AUTH, on_basic_auth, NULL, NULL);
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	(void)userdata;
	(void)options;
	(void)option_count;
	return mosquitto_callback_unregister(identifier, MOSQ_EVT_BASIC_AUTH, on_basic_auth, NULL);
}
