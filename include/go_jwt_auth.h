/*
 * go_jwt_auth.h - the border between Mosquitto, the C shim and the Go side.
 *
 * Everything that crosses is declared here: what the shim offers to Go, and those parts of the Mosquitto 2.1 plugin
 * interface that older headers lack. What Go offers to the shim is in cgo/bridge.go, by the names gja_go_*.
 *
 * The prefix gja stands for go_jwt_auth: C has one namespace for the whole broker and all of its plugins.
 *
 * One binary serves Mosquitto 2.0.11 to 2.1: functions that only 2.1 exports are weak, and NULL on 2.0.
 */
#ifndef GO_JWT_AUTH_H
#define GO_JWT_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__has_include) && __has_include(<mosquitto/broker_plugin.h>)
/* 2.1 and newer */
#include <mosquitto.h>
#else
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#endif

/*
 * mosquitto/broker.h of 2.1: the event of a client that was admitted, by any plugin or by none, and the one that replaces
 * DISCONNECT if the broker keeps the client's session.
 */
#define GJA_EVT_CONNECT 11
#define GJA_EVT_CLIENT_OFFLINE 28

/*
 * mosquitto/defs.h of 2.1: results of BASIC_AUTH that MQTT 5 clients get as reason code 0x88 and 0x89, and older ones as
 * "not authorized". 2.0 would close the connection without an answer.
 */
#define GJA_ERR_SERVER_UNAVAILABLE 136
#define GJA_ERR_SERVER_BUSY 137

/* Also a result of BASIC_AUTH: mosquitto_complete_basic_auth will give the verdict. */
#define GJA_ERR_AUTH_DELAYED -5

/* A result of gja_go_acl_check alone: the same action of the client is accepted until gja_ask_about is called for it. */
#define GJA_ACCEPTED_UNTIL_ASKED 1000

/*
 * On musl the library is mapped by LD_PRELOAD (cgo/musl), into every program that is started in that environment. All but
 * the broker lack its functions, and must start all the same.
 */
#ifdef GJA_PRELOADED
#pragma weak mosquitto_broker_publish_copy
#pragma weak mosquitto_callback_register
#pragma weak mosquitto_callback_unregister
#pragma weak mosquitto_client_address
#pragma weak mosquitto_client_certificate
#pragma weak mosquitto_client_clean_session
#pragma weak mosquitto_client_id
#pragma weak mosquitto_client_keepalive
#pragma weak mosquitto_client_protocol
#pragma weak mosquitto_client_protocol_version
#pragma weak mosquitto_client_sub_count
#pragma weak mosquitto_client_username
#pragma weak mosquitto_kick_client_by_clientid
#pragma weak mosquitto_log_printf
#pragma weak mosquitto_set_username
/* Other names than those that Mosquitto looks up, which are in loader.c. */
#define mosquitto_plugin_init go_jwt_auth_plugin_init
#define mosquitto_plugin_cleanup go_jwt_auth_plugin_cleanup
#define mosquitto_plugin_version go_jwt_auth_plugin_version
#endif

/* 2.1 only */
extern int mosquitto_set_clientid(struct mosquitto *client, const char *clientid) __attribute__((weak));
extern struct mosquitto *mosquitto_client(const char *clientid) __attribute__((weak));
extern void mosquitto_complete_basic_auth(const char *clientid, int result) __attribute__((weak));
extern const char *mosquitto_persistence_location(void) __attribute__((weak));
extern int mosquitto_client_port(const struct mosquitto *client) __attribute__((weak));
extern int mosquitto_apply_on_all_clients(int (*each)(const struct mosquitto *client, void *context), void *context)
		__attribute__((weak));
extern int mosquitto_plugin_set_info(mosquitto_plugin_id_t *identifier, const char *plugin_name, const char *plugin_version)
		__attribute__((weak));

/* libcrypto's, which a broker with TLS has. A client's certificate is counted up for whoever asks for it. */
extern void X509_free(void *certificate) __attribute__((weak));

/* One loaded instance: one `plugin` line in mosquitto.conf. */
struct gja_instance;

/* Asks for a Tick in so many ms. From the broker's thread. */
void gja_tick_in(struct gja_instance *instance, int64_t ms);

/* Asks for a Tick at once, and ends the broker's sleep for it, unless that sleep is just about to begin. From any thread. */
void gja_wake(struct gja_instance *instance);

/* Writes one line to the broker's log; level is one of MOSQ_LOG_*. */
void gja_log(int level, const char *line);

/* Tells whether the broker is 2.1 or newer. */
bool gja_broker_is_2_1(void);

/* Tells the broker the plugin's name and version, if it takes them (2.1). */
void gja_set_info(struct gja_instance *instance, const char *version);

/*
 * The broker's functions on a client, which Go knows by its address alone. What only 2.1 has returns
 * MOSQ_ERR_NOT_SUPPORTED on 2.0; gja_holds is true there, as 2.0 can't tell which client has a client id.
 */
int gja_set_username(uintptr_t client, const char *username);
int gja_set_clientid(uintptr_t client, const char *clientid);
bool gja_holds(const char *clientid, uintptr_t client);

/*
 * Tells whether the broker is certain to know the client already, by this id, so that a BASIC_AUTH for it is not a
 * CONNECT's. 2.0 can't look it up, but a client that is just connecting has no subscriptions there, and between RELOAD and the
 * next TICK 2.0 reads no CONNECT other than those over WebSockets.
 */
bool gja_knows(const char *clientid, uintptr_t client, bool before_tick);

/* The client, connected or away, whose session the broker keeps by this id (NULL: none), and its username. 2.1 only. */
struct mosquitto *gja_session(const char *clientid);
const char *gja_username(const struct mosquitto *client);

/* What the broker tells of a client. The strings are the broker's; NULL if there is none. */
struct gja_client {
	uintptr_t client;
	const char *id, *username, *address;
	/* How many subscriptions it has; the port of its listener, 0 on 2.0 and for a bridge; 3, 4 (3.1.1) or 5. */
	int subscriptions, port, protocol_version;
	/* In seconds; 0: none. */
	uint16_t keepalive;
	bool websockets, clean_start, certificate;
};

struct gja_client gja_client_of(uintptr_t client);

/*
 * All clients of the broker, those that are away and bridges included, in memory that is to be freed. Not complete: 2.0 has no
 * such list, or there is no memory left.
 */
struct gja_clients {
	struct gja_client *list;
	size_t count, space;
	bool complete;
};

struct gja_clients gja_all_clients(void);

/* Sends a message to the client that is connected by this id, with QoS 1, whatever it has subscribed to. The broker copies it. */
int gja_publish(const char *clientid, const char *topic, const void *payload, int length);

/*
 * Registers the instance for an event, or ends that. MOSQ_ERR_ALREADY_EXISTS: another plugin, or another instance, has the
 * $CONTROL topic. Not from inside of the event in question.
 */
int gja_on_control(struct gja_instance *instance, const char *topic, bool on);
int gja_on_acl_check(struct gja_instance *instance, bool on);
int gja_on_ext_auth(struct gja_instance *instance, bool on);

/*
 * Whether Go is to be asked about what the client may do. Of all others it is not: their ACL_CHECK is deferred. What Go has answered with
 * GJA_ACCEPTED_UNTIL_ASKED counts until this is called for the client again.
 */
void gja_ask_about(struct gja_instance *instance, uintptr_t client, bool ask);

/* Gives the verdict on the login that is pending by this client id. From TICK only; without effect on 2.0. */
void gja_complete(const char *clientid, bool accepted);

/* How often GJA_ACCEPTED_UNTIL_ASKED has counted since this was called last. */
uint64_t gja_take_accepted(struct gja_instance *instance);

/* Tells, from inside of DISCONNECT, whether the broker may publish the client's will later: it does not say whether that has a delay. */
bool gja_may_keep_will(uintptr_t client);

/* Where the broker keeps its files; NULL on 2.0. */
const char *gja_persistence_location(void);

#endif
