/*
 * events.c - a plugin that writes down what the broker tells plugins, and does to clients what a test asks for, so that
 * cases can show how each version of the broker behaves.
 *
 * Options, of which each takes one client id: refuse (MOSQ_ERR_AUTH) and close (MOSQ_ERR_UNKNOWN) when the broker asks
 * again after SIGHUP, deny (MOSQ_ERR_AUTH) at its CONNECT, delay (2.1). accept, with any value, lets in whoever else
 * comes; otherwise the next plugin or password file decides. name, for several instances, stands in the log lines about
 * $CONTROL. auth: EXT_AUTH_START is answered as the Authentication Data says, see on_ext_auth. acl: ACL_CHECK is written
 * down, and answered by the first level of the topic: "allow", "deny"; anything else is deferred.
 *
 * A client that may publish to $CONTROL/witness/v1 gets done what it says: "kick ID", "kick-with-will ID",
 * "complete ID" (2.1, a delayed login is admitted), "look ID" (2.1), "walk all" (2.1: writes down all
 * clients), "tell ID" (a message to it) and, from the next TICK,
 * "tell-later ID", "acl on", "acl off", "control TOPIC" and "no-control TOPIC".
 */
#include "go_jwt_auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL_TOPIC "$CONTROL/witness/v1"
/* mosquitto/broker.h of 2.1 */
#define EVT_CONNECT 11

struct instance {
	mosquitto_plugin_id_t *identifier;
	const char *name;
	/* What the next TICK is to do; empty: nothing. */
	char later[256];
};

static const char *refuse, *close_on, *deny, *delay;
static bool accept_others, auth, acl;

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
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: it is BASIC_AUTH%s id=%s username=%s with password=%s",
			sweeping ? " again" : "", text(id), text(login->username), text(login->password));
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

/* The data is a word: accept, refuse (MOSQ_ERR_AUTH), defer, unsupported, close (MOSQ_ERR_UNKNOWN), busy (137), or a new
 * "username=NAME" or "clientid=NAME" (2.1). */
static int on_ext_auth(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_extended_auth *login = event_data;
	char word[256] = {0};

	(void)event;
	(void)userdata;
	memcpy(word, login->data_in ? login->data_in : "", login->data_in_len < sizeof(word) ? login->data_in_len : sizeof(word) - 1);
	say("EXT_AUTH_START", login->client);
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: method %s data \"%s\" of %d bytes%s from %s", text(login->auth_method), word,
			login->data_in_len, login->data_in ? "" : " (NULL)", text(mosquitto_client_address(login->client)));
	if(strcmp(word, "refuse") == 0){
		return MOSQ_ERR_AUTH;
	}
	if(strcmp(word, "defer") == 0){
		return MOSQ_ERR_PLUGIN_DEFER;
	}
	if(strcmp(word, "unsupported") == 0){
		return MOSQ_ERR_NOT_SUPPORTED;
	}
	if(strcmp(word, "close") == 0){
		return MOSQ_ERR_UNKNOWN;
	}
	if(strcmp(word, "busy") == 0){
		return GJA_ERR_SERVER_BUSY;
	}
	if(strncmp(word, "username=", strlen("username=")) == 0){
		return mosquitto_set_username(login->client, strchr(word, '=') + 1);
	}
	if(strncmp(word, "clientid=", strlen("clientid=")) == 0){
		return mosquitto_set_clientid != NULL ? mosquitto_set_clientid(login->client, strchr(word, '=') + 1)
											  : MOSQ_ERR_NOT_SUPPORTED;
	}
	return MOSQ_ERR_SUCCESS;
}

static int on_acl_check(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_acl_check *check = event_data;

	(void)event;
	(void)userdata;
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: ACL_CHECK id=%s username=%s client=%p access=%d topic=%s qos=%d retain=%d",
			text(mosquitto_client_id(check->client)), text(mosquitto_client_username(check->client)), (void *)check->client,
			check->access, check->topic, check->qos, check->retain);
	if(strncmp(check->topic, "allow/", strlen("allow/")) == 0 || strcmp(check->topic, CONTROL_TOPIC) == 0){
		return MOSQ_ERR_SUCCESS;
	}
	return strncmp(check->topic, "deny/", strlen("deny/")) == 0 ? MOSQ_ERR_ACL_DENIED : MOSQ_ERR_PLUGIN_DEFER;
}

static void tell(const char *id)
{
	const char *message = "only for you";
	int rc = mosquitto_broker_publish_copy(id, CONTROL_TOPIC "/response", (int)strlen(message), message, 1, false, NULL);

	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: told %s: %d", id, rc);
}

static int on_control(int event, void *event_data, void *userdata);

/* Does what was put off. */
static void do_later(struct instance *instance)
{
	char *word = instance->later, *rest = strchr(word, ' ');
	int rc = -1;

	if(rest == NULL){
		return;
	}
	*rest++ = '\0';
	if(strcmp(word, "tell-later") == 0){
		tell(rest);
		rc = MOSQ_ERR_SUCCESS;
	}else if(strcmp(word, "acl") == 0 && strcmp(rest, "on") == 0){
		rc = mosquitto_callback_register(instance->identifier, MOSQ_EVT_ACL_CHECK, on_acl_check, NULL, NULL);
	}else if(strcmp(word, "acl") == 0){
		rc = mosquitto_callback_unregister(instance->identifier, MOSQ_EVT_ACL_CHECK, on_acl_check, NULL);
	}else if(strcmp(word, "control") == 0){
		rc = mosquitto_callback_register(instance->identifier, MOSQ_EVT_CONTROL, on_control, rest, instance);
	}else if(strcmp(word, "no-control") == 0){
		rc = mosquitto_callback_unregister(instance->identifier, MOSQ_EVT_CONTROL, on_control, rest);
	}
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: %s %s in TICK: %d", word, rest, rc);
	instance->later[0] = '\0';
}

static int on_tick(int event, void *event_data, void *userdata)
{
	(void)event;
	(void)event_data;
	do_later(userdata);
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

static int walk_one(const struct mosquitto *client, void *context)
{
	void *certificate = mosquitto_client_certificate(client);

	++*(int *)context;
	mosquitto_log_printf(MOSQ_LOG_NOTICE,
			"witness: walked id=%s username=%s address=%s port=%d version=%d websockets=%d keepalive=%d clean=%d "
			"subscriptions=%d "
			"certificate=%d",
			text(mosquitto_client_id(client)), text(mosquitto_client_username(client)), text(mosquitto_client_address(client)),
			mosquitto_client_port(client), mosquitto_client_protocol_version(client),
			mosquitto_client_protocol(client) == mp_websockets, mosquitto_client_keepalive(client),
			mosquitto_client_clean_session(client), mosquitto_client_sub_count(client), certificate != NULL);
	if(certificate != NULL){
		X509_free(certificate);
	}
	return MOSQ_ERR_SUCCESS;
}

static void walk(void)
{
	int count = 0;

	if(mosquitto_apply_on_all_clients == NULL || mosquitto_client_port == NULL){
		mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: there is no list of clients");
		return;
	}
	mosquitto_apply_on_all_clients(walk_one, &count);
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness: walked %d clients", count);
}

static int on_control(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_control *request = event_data;
	struct instance *instance = userdata;
	char command[256] = {0};
	char *id;

	(void)event;
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness%s%s: CONTROL %s of %s, %d bytes, qos=%d retain=%d", instance->name ? " " : "",
			instance->name ? instance->name : "", request->topic, text(mosquitto_client_id(request->client)),
			(int)request->payloadlen, request->qos, request->retain);
	if(request->payloadlen >= sizeof(command)){
		return MOSQ_ERR_INVAL;
	}
	memcpy(command, request->payload, request->payloadlen);
	if(strncmp(command, "tell-later ", 11) == 0 || strncmp(command, "acl ", 4) == 0 || strncmp(command, "control ", 8) == 0 ||
			strncmp(command, "no-control ", 11) == 0){
		memcpy(instance->later, command, sizeof(command));
		return MOSQ_ERR_SUCCESS;
	}
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
	}else if(strcmp(command, "walk") == 0){
		walk();
	}else if(strcmp(command, "tell") == 0){
		tell(id);
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

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options, int option_count)
{
	struct instance *instance = calloc(1, sizeof(struct instance));
	int rc;

	if(instance == NULL){
		return MOSQ_ERR_NOMEM;
	}
	*userdata = instance;
	instance->identifier = identifier;
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
		}else if(strcmp(name, "name") == 0){
			instance->name = value;
		}else if(strcmp(name, "auth") == 0){
			auth = true;
		}else if(strcmp(name, "acl") == 0){
			acl = true;
		}
	}
	if(mosquitto_client != NULL){
		mosquitto_callback_register(identifier, GJA_EVT_CLIENT_OFFLINE, on_disconnect, NULL, NULL);
		mosquitto_callback_register(identifier, EVT_CONNECT, on_connect, NULL, NULL);
	}
	if(mosquitto_callback_register(identifier, MOSQ_EVT_BASIC_AUTH, on_basic_auth, NULL, NULL) ||
			mosquitto_callback_register(identifier, MOSQ_EVT_DISCONNECT, on_disconnect, NULL, NULL) ||
			mosquitto_callback_register(identifier, MOSQ_EVT_TICK, on_tick, NULL, instance) ||
			mosquitto_callback_register(identifier, MOSQ_EVT_RELOAD, on_reload, NULL, NULL) ||
			(auth && mosquitto_callback_register(identifier, MOSQ_EVT_EXT_AUTH_START, on_ext_auth, NULL, NULL)) ||
			(acl && mosquitto_callback_register(identifier, MOSQ_EVT_ACL_CHECK, on_acl_check, NULL, NULL))){
		return MOSQ_ERR_INVAL;
	}
	rc = mosquitto_callback_register(identifier, MOSQ_EVT_CONTROL, on_control, CONTROL_TOPIC, instance);
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "witness %s: registered for " CONTROL_TOPIC ": %d", text(instance->name), rc);
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	(void)options;
	(void)option_count;
	free(userdata);
	return MOSQ_ERR_SUCCESS;
}
