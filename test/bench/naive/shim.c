/*
 * shim.c - what Mosquitto calls; naive.go decides.
 */
#include "go_jwt_auth.h"

#include <string.h>

/* Made by cgo from the exported functions of naive.go. */
#include "_cgo_export.h"

static mosquitto_plugin_id_t *identifier;

static int on_basic_auth(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_basic_auth *login = event_data;

	(void)event;
	(void)userdata;
	return naive_login(login->password);
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
		if(strcmp(options[i].key, "passwords") == 0 && naive_load(options[i].value) != MOSQ_ERR_SUCCESS){
			return MOSQ_ERR_UNKNOWN;
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
