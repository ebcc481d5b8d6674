/*
 * accept.c - the cheapest plugin there can be: it lets everybody in, or with `plugin_opt_refuse` nobody. What a login costs
 * with it is what the broker itself costs.
 */
#include "go_jwt_auth.h"

#include <string.h>

static mosquitto_plugin_id_t *identifier;
static int answer = MOSQ_ERR_SUCCESS;

static int on_basic_auth(int event, void *event_data, void *userdata)
{
	(void)event;
	(void)event_data;
	(void)userdata;
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
