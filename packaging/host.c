/*
 * host.c - what Mosquitto 2.0 is to the plugin, and no more: for machines of which there is no Mosquitto to try it with.
 * host PLUGIN JWT_JSON TOKEN…: loads the plugin as the broker does and prints the verdict on each token.
 * host PLUGIN JWT_JSON TOKEN -- COUNT TOPIC…: then asks so many times whether its client may receive from these topics, in turn, and
 * prints the last answer and what one took of the processor.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

static MOSQ_FUNC_generic_callback basic_auth, acl_check;
static void *instance;
static char known_as[256];

int mosquitto_callback_register(
		mosquitto_plugin_id_t *identifier, int event, MOSQ_FUNC_generic_callback callback, const void *data, void *userdata)
{
	(void)identifier;
	(void)data;
	if(event == MOSQ_EVT_BASIC_AUTH){
		basic_auth = callback;
		instance = userdata;
	}
	if(event == MOSQ_EVT_ACL_CHECK){
		acl_check = callback;
	}
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_callback_unregister(
		mosquitto_plugin_id_t *identifier, int event, MOSQ_FUNC_generic_callback callback, const void *data)
{
	(void)identifier;
	(void)event;
	(void)callback;
	(void)data;
	return MOSQ_ERR_SUCCESS;
}

void mosquitto_log_printf(int level, const char *format, ...)
{
	va_list arguments;

	(void)level;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

const char *mosquitto_client_id(const struct mosquitto *client)
{
	(void)client;
	return "a-client";
}

const char *mosquitto_client_address(const struct mosquitto *client)
{
	(void)client;
	return "192.0.2.1";
}

const char *mosquitto_client_username(const struct mosquitto *client)
{
	(void)client;
	return known_as;
}

bool mosquitto_client_clean_session(const struct mosquitto *client)
{
	(void)client;
	return true;
}

int mosquitto_client_keepalive(const struct mosquitto *client)
{
	(void)client;
	return 60;
}

void *mosquitto_client_certificate(const struct mosquitto *client)
{
	(void)client;
	return NULL;
}

int mosquitto_client_protocol(const struct mosquitto *client)
{
	(void)client;
	return mp_mqtt;
}

int mosquitto_client_protocol_version(const struct mosquitto *client)
{
	(void)client;
	return 5;
}

int mosquitto_client_sub_count(const struct mosquitto *client)
{
	(void)client;
	return 0;
}

int mosquitto_set_username(struct mosquitto *client, const char *username)
{
	(void)client;
	snprintf(known_as, sizeof(known_as), "%s", username);
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_kick_client_by_clientid(const char *clientid, bool with_will)
{
	(void)clientid;
	(void)with_will;
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_broker_publish_copy(const char *clientid, const char *topic, int payloadlen, const void *payload, int qos,
		bool retain, mosquitto_property *properties)
{
	(void)clientid;
	(void)topic;
	(void)payloadlen;
	(void)payload;
	(void)qos;
	(void)retain;
	(void)properties;
	return MOSQ_ERR_SUCCESS;
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void check(struct mosquitto *client, int count, char **topics, int topic_count)
{
	struct mosquitto_evt_acl_check delivery = {.client = client, .access = MOSQ_ACL_READ};
	double began;
	int rc = MOSQ_ERR_SUCCESS;

	if(acl_check == NULL){
		printf("host: nobody checks\n");
		return;
	}
	began = now_ns();
	for(int i = 0; i < count; i++){
		delivery.topic = topics[i % topic_count];
		rc = acl_check(MOSQ_EVT_ACL_CHECK, &delivery, instance);
	}
	printf("host: access %d, %.1f ns\n", rc, (now_ns() - began) / count);
}

int main(int argc, char *argv[])
{
	const int versions[] = {5, 4, 3};
	struct mosquitto_opt option = {"config_file", argc > 2 ? argv[2] : NULL};
	struct mosquitto_evt_basic_auth login = {0};
	int (*version)(int, const int *);
	int (*init)(mosquitto_plugin_id_t *, void **, struct mosquitto_opt *, int);
	void *userdata = NULL, *library;
	char client;

	library = argc > 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	if(library == NULL){
		fprintf(stderr, "host: %s\n", argc > 2 ? dlerror() : "usage: host PLUGIN JWT_JSON TOKEN…");
		return 2;
	}
	version = (int (*)(int, const int *))dlsym(library, "mosquitto_plugin_version");
	init = (int (*)(mosquitto_plugin_id_t *, void **, struct mosquitto_opt *, int))dlsym(library, "mosquitto_plugin_init");
	if(version == NULL || init == NULL || version(3, versions) != 5 ||
			init((mosquitto_plugin_id_t *)&client, &userdata, &option, 1) != MOSQ_ERR_SUCCESS){
		return 1;
	}
	login.client = (struct mosquitto *)&client;
	login.username = "any";
	for(int i = 3; i < argc; i++){
		if(strcmp(argv[i], "--") == 0 && i + 2 < argc){
			check(login.client, atoi(argv[i + 1]), argv + i + 2, argc - i - 2);
			break;
		}
		known_as[0] = '\0';
		login.password = argv[i];
		printf("host: verdict %d, known as \"%s\"\n", basic_auth(MOSQ_EVT_BASIC_AUTH, &login, instance), known_as);
	}
	return 0;
}
