/*
 * loader.c - what mosquitto.conf names on musl systems (Alpine): it finds the plugin itself in the broker's memory, or
 * says how to get it there.
 *
 * musl's dlopen refuses libraries written in Go, which need thread-local storage that is only available at start-up. So the
 * plugin itself is mapped by LD_PRELOAD. This file has no such need, and can always be loaded.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#define PRELOADED "/usr/lib/go_jwt_auth_preload.so"

typedef int (*init_function)(mosquitto_plugin_id_t *, void **, struct mosquitto_opt *, int);
typedef int (*cleanup_function)(void *, struct mosquitto_opt *, int);

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for(int i = 0; i < supported_version_count; i++){
		if(supported_versions[i] == 5){
			return 5;
		}
	}
	return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options, int option_count)
{
	init_function init = (init_function)dlsym(RTLD_DEFAULT, "go_jwt_auth_plugin_init");

	if(init == NULL){
		mosquitto_log_printf(MOSQ_LOG_ERR,
				"go_jwt_auth: on musl systems such as Alpine the plugin must be there when the broker starts: "
				"start it with LD_PRELOAD=" PRELOADED " in its environment (docs/musl.md)");
		return MOSQ_ERR_NOT_SUPPORTED;
	}
	return init(identifier, userdata, options, option_count);
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	cleanup_function cleanup = (cleanup_function)dlsym(RTLD_DEFAULT, "go_jwt_auth_plugin_cleanup");

	return cleanup != NULL ? cleanup(userdata, options, option_count) : MOSQ_ERR_SUCCESS;
}
