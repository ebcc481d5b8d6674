/*
 * hang.c - a plugin that holds the broker's thread for seven seconds at each SIGHUP, as a plugin does that waits for
 * another server.
 */
#include "go_jwt_auth.h"

#include <time.h>

enum { SECONDS = 7 };

static int on_reload(int event, void *event_data, void *userdata)
{
	struct timespec end;

	(void)event;
	(void)event_data;
	(void)userdata;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += SECONDS;
	/* The plugin under test wakes the broker by a signal, which ends a sleep. */
	while(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) != 0){
	}
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	(void)supported_version_count;
	(void)supported_versions;
	return 5;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options, int option_count)
{
	(void)userdata;
	(void)options;
	(void)option_count;
	return mosquitto_callback_register(identifier, MOSQ_EVT_RELOAD, on_reload, NULL, NULL);
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	(void)userdata;
	(void)options;
	(void)option_count;
	return MOSQ_ERR_SUCCESS;
}
