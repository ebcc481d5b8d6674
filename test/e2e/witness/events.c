/*
 * events.c - a plugin that writes down what the broker tells plugins, and does to clients what a test asks for, so that
 * cases can show how each version of the broker behaves.
 *
 * Options, of which each takes one client id: refuse (MOSQ_ERR_AUTH) and close (MOSQ_ERR_UNKNOWN) when the broker asks
 * again after SIGHUP, deny (MOSQ_ERR_AUTH) at its CONNECT, delay (2.1). accept, with any value, lets in whoever else
 * comes; otherwise the next plugin or password file decides.
 *
 * A client that may publish to $CONTROL/witness/v1 gets done what it says: "kick ID", "kick-with-will ID",
 * "complete ID" (2.1, a delayed login is admitted) and "look ID" (2.1).
 */
#include "go_jwt_auth.h"

#include <stdio.h>
#include <string.h>

#define CONTROL_TOPIC "$CONTROL/witness/v1"
/* mosquitto/broker.h of 2.1 */
#define EVT_CONNECT 11

static mosquitto_plugin_id_t *identifier;

static const char *refuse, *close_on, *deny, *delay;
static bool accept_others;

/* A TICK is written down only where it is the first after something else. */
static bool ticked;
/* Between RELOAD and the next TICK, or the next thing that can't be part of the broker's round. */
static bool sweeping;

static const char *text(const char *s)
{
	return s ? s : "(null)";
}

static bool is(const char *option, const char *id)
{
	return option && id && strcmp(option, id) == 0;
}

static void say(const char *event, const struct mosquitto *client)
{
	const char *id = mosquitto_client_id(client);
	const char *known = "";

	if(mosquitto_client != NULL && id != NULL){
		known = mosquitto_client(id) == client ? " registered" : " unregistered";
	}
	ticked = false;
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: %s id=%s username=%s client=%p subscriptions=%d websockets=%d%s", event,
			text(id), text(mosquitto_client_username(client)), (const void *)client, mosquitto_client_sub_count(client),
			mosquitto_client_protocol(client) == mp_websockets, known);
}

static int on_basic_auth(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_basic_auth *login = event_data;
	const char *id = mosquitto_client_id(login->client);

	(void)event;
	(void)userdata;
	say(sweeping ? "BASIC_AUTH again" : "BASIC_AUTH", login->client);
	if(sweeping && is(refuse, id)){
		return MOSQ_ERR_AUTH;
	}
	if(sweeping && is(close_on, id)){
		return MOSQ_ERR_UNKNOWN;
	}
	if(is(deny, id)){
		return MOSQ_ERR_AUTH;
	}
	if(is(delay, id) && mosquitto_complete_basic_auth != NULL){
		return GJA_ERR_AUTH_DELAYED;
	}
	return accept_others ? MOSQ_ERR_SUCCESS : MOSQ_ERR_PLUGIN_DEFER;
}

static int on_disconnect(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_disconnect *leaving = event_data;

	(void)userdata;
	say(event == MOSQ_EVT_DISCONNECT ? "DISCONNECT" : "CLIENT_OFFLINE", leaving->client);
	return MOSQ_ERR_SUCCESS;
}

/* Its data begins like that of DISCONNECT. */
static int on_connect(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_disconnect *coming = event_data;

	(void)event;
	(void)userdata;
	say("CONNECT", coming->client);
	return MOSQ_ERR_SUCCESS;
}

static int on_tick(int event, void *event_data, void *userdata)
{
	(void)event;
	(void)event_data;
	(void)userdata;
	if(!ticked){
		mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: TICK");
	}
	ticked = true;
	sweeping = false;
	return MOSQ_ERR_SUCCESS;
}

static int on_reload(int event, void *event_data, void *userdata)
{
	(void)event;
	(void)event_data;
	(void)userdata;
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: RELOAD");
	ticked = false;
	sweeping = true;
	/* 2.0 asks the next plugin only after DEFER; 2.1 stops at anything but success. */
	return mosquitto_client != NULL ? MOSQ_ERR_SUCCESS : MOSQ_ERR_PLUGIN_DEFER;
}

static void look(const char *id)
{
	struct mosquitto *client = mosquitto_client != NULL ? mosquitto_client(id) : NULL;

	if(client == NULL){
		mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: look %s: nobody", id);
		return;
	}
	say("look", client);
}

static int on_control(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_control *request = event_data;
	char command[256] = {0};
	char *id;

	(void)event;
	(void)userdata;
	if(request->payloadlen >= sizeof(command)){
		return MOSQ_ERR_INVAL;
	}
	memcpy(command, request->payload, request->payloadlen);
	id = strchr(command, ' ');
	if(id == NULL){
		return MOSQ_ERR_INVAL;
	}
	*id++ = '\0';
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: %s %s begins", command, id);
	if(strcmp(command, "kick") == 0){
		mosquitto_kick_client_by_clientid(id, false);
	}else if(strcmp(command, "kick-with-will") == 0){
		mosquitto_kick_client_by_clientid(id, true);
	}else if(strcmp(command, "complete") == 0 && mosquitto_complete_basic_auth != NULL){
		mosquitto_complete_basic_auth(id, MOSQ_ERR_SUCCESS);
	}else if(strcmp(command, "look") == 0){
		look(id);
	}
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: %s %s done", command, id);
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	(void)supported_version_count;
	(void)supported_versions;
	return 5;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *plugin, void **userdata, struct mosquitto_opt *options, int option_count)
{
	(void)userdata;
	identifier = plugin;
	for(int i = 0; i < option_count; i++){
		const char *name = options[i].key, *value = options[i].value;

		if(strcmp(name, "refuse") == 0){
			refuse = value;
		}else if(strcmp(name, "close") == 0){
			close_on = value;
		}else if(strcmp(name, "deny") == 0){
			deny = value;
		}else if(strcmp(name, "delay") == 0){
			delay = value;
		}else if(strcmp(name, "accept") == 0){
			accept_others = true;
		}
	}
	if(mosquitto_client != NULL){
		mosquitto_callback_register(identifier, GJA_EVT_CLIENT_OFFLINE, on_disconnect, NULL, NULL);
		mosquitto_callback_register(identifier, EVT_CONNECT, on_connect, NULL, NULL);
	}
	if(mosquitto_callback_register(identifier, MOSQ_EVT_BASIC_AUTH, on_basic_auth, NULL, NULL) ||
			mosquitto_callback_register(identifier, MOSQ_EVT_DISCONNECT, on_disconnect, NULL, NULL) ||
			mosquitto_callback_register(identifier, MOSQ_EVT_TICK, on_tick, NULL, NULL) ||
			mosquitto_callback_register(identifier, MOSQ_EVT_RELOAD, on_reload, NULL, NULL)){
		return MOSQ_ERR_INVAL;
	}
	return mosquitto_callback_register(identifier, MOSQ_EVT_CONTROL, on_control, CONTROL_TOPIC, NULL);
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	(void)userdata;
	(void)options;
	(void)option_count;
	return MOSQ_ERR_SUCCESS;
}
