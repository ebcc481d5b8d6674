/*
 * witness.c - a plugin that stands behind ours in mosquitto.conf. Told of a reload, it says so, and then calls what Go
 * exports with a handle that is none, which makes Go panic.
 */
#include "go_jwt_auth.h"

#include <dlfcn.h>

/* cgo/bridge.go. Brokers differ in whether plugins see each other's symbols. */
static int (*basic_auth)(uintptr_t handle, uintptr_t client, char *id, char *username, char *password, char *address);
static int (*ext_auth)(
		uintptr_t handle, uintptr_t client, char *id, char *username, char *method, void *data, uint16_t length, char *address);
static void (*control)(uintptr_t handle, uintptr_t client, char *id, char *username, char *topic, void *payload, uint32_t length);
static int (*acl_check)(uintptr_t handle, uintptr_t client, char *id, size_t id_length, char *username, size_t username_length,
		char *topic, size_t topic_length, int access, uint8_t qos, bool retain);
static void (*tick)(uintptr_t handle);
static void (*disconnect)(uintptr_t handle, uintptr_t client);
static void (*reload)(uintptr_t handle);
static void (*cleanup)(uintptr_t handle);

static int on_reload(int event, void *event_data, void *userdata)
{
	(void)event;
	(void)event_data;
	(void)userdata;
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: reload");
	if(basic_auth(0, 0, "id", "username", "password", "address") == MOSQ_ERR_AUTH &&
			ext_auth(0, 0, "id", "username", "method", "data", 4, "address") == MOSQ_ERR_AUTH &&
			acl_check(0, 0, "id", 2, "username", 8, "topic", 5, MOSQ_ACL_READ, 0, false) == MOSQ_ERR_ACL_DENIED){
		control(0, 0, "id", "username", "topic", "payload", 7);
		tick(0);
		disconnect(0, 0);
		reload(0);
		cleanup(0);
		mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: logins and access denied, the rest survived");
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
	void *library;

	(void)userdata;
	if(option_count != 1){
		return MOSQ_ERR_INVAL;
	}
	library = dlopen(options[0].value, RTLD_NOW);
	if(library == NULL){
		return MOSQ_ERR_INVAL;
	}
	*(void **)&basic_auth = dlsym(library, "gja_go_basic_auth");
	*(void **)&ext_auth = dlsym(library, "gja_go_ext_auth");
	*(void **)&control = dlsym(library, "gja_go_control");
	*(void **)&acl_check = dlsym(library, "gja_go_acl_check");
	*(void **)&tick = dlsym(library, "gja_go_tick");
	*(void **)&disconnect = dlsym(library, "gja_go_disconnect");
	*(void **)&reload = dlsym(library, "gja_go_reload");
	*(void **)&cleanup = dlsym(library, "gja_go_cleanup");
	if(!basic_auth || !ext_auth || !control || !acl_check || !tick || !disconnect || !reload || !cleanup){
		return MOSQ_ERR_INVAL;
	}
	return mosquitto_callback_register(identifier, MOSQ_EVT_RELOAD, on_reload, NULL, NULL);
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	(void)userdata;
	(void)options;
	(void)option_count;
	return MOSQ_ERR_SUCCESS;
}
