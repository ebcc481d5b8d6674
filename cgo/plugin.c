/*
 * plugin.c - the shim: it registers Mosquitto's callbacks, keeps signals away from Go's stacks, and passes events on.
 * It makes no decisions.
 */
#include "go_jwt_auth.h"
#include "accepted.h"
#include "client_set.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Made by cgo from the exported functions of bridge.go. */
#include "_cgo_export.h"

struct gja_instance {
	mosquitto_plugin_id_t *identifier;
	pthread_t main_thread;
	/* The Go side; 0 before it has started. */
	uintptr_t handle;
	/* When TICK has something to do, in ms by now_ms, and whether it has something to do at once. If neither holds, TICK does
	 * not call into Go: the broker makes thousands of TICKs a second. */
	_Atomic int64_t tick_at;
	atomic_bool wake;
	/* Whose ACL_CHECK Go answers: the broker makes one for each message to each subscriber. */
	struct client_set asked_about;
	/* What it has accepted of them; NULL: nothing yet. */
	struct accepted *accepted;
	uint64_t accepted_again;
	bool ext_auth;
};

/*
 * Mosquitto sets its signal handlers without SA_ONSTACK. On a thread that runs Go such a handler would run on a
 * goroutine's small stack and crash the broker. So Go's threads start with these signals blocked (the constructor runs
 * before the Go runtime's), the main thread gets them back in mosquitto_plugin_init, and SA_ONSTACK is added to Mosquitto's
 * handlers as soon as they are set.
 */
static sigset_t mask_at_load;

/*
 * While there is work, a thread of Go (sysmon) wakes up every 20 us to look after the others: 1 to 2 us of each login. Threads
 * inherit how late the kernel may wake them, in ns. By this one it comes a few hundred times a second, and Go's timers are that
 * much less exact. The main thread gets its own back together with the signals.
 */
static const unsigned long timer_slack = 2000000;
static int slack_at_load;

/*
 * Where processors are few, Go's threads compete with the broker's own: while garbage is collected, or a provider is asked about many.
 * Whoever asks for shorter slices comes sooner, and gets no more for it (Linux 6.12 on; before, it changes nothing). Go's threads
 * ask for the longest, in ns, and the main thread gets back what it had.
 */
static const uint64_t longest_slice = 100000000;

/* The kernel's struct sched_attr: few libcs have it, and its header can't be included beside sched.h. */
struct scheduling {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static struct scheduling scheduling_at_load;

/* A sandbox may end the process for a system call that it does not expect of a broker: where there is one, nothing is asked. */
static bool may_ask_for_slices(void)
{
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0 &&
			syscall(SYS_sched_getattr, 0, &scheduling_at_load, sizeof(scheduling_at_load), 0) == 0 &&
			scheduling_at_load.policy == SCHED_OTHER;
}

/* SIGRTMIN rotates the log since 2.1. It is not a constant expression, so the list can't be static. */
static int handled_signal(int i)
{
	const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGRTMIN};

	return i < (int)(sizeof(signals) / sizeof(signals[0])) ? signals[i] : 0;
}

/* 101 is the first priority that is not reserved for the compiler. A preloaded library is mapped into other programs, too,
 * so it blocks signals only when the runtime is started. */
#ifdef GJA_PRELOADED
#define AT_LOAD
#else
#define AT_LOAD __attribute__((constructor(101)))
#endif

AT_LOAD static void threads_begin(void)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	for(int i = 0; (sig = handled_signal(i)) != 0; i++){
		sigaddset(&set, sig);
	}
	pthread_sigmask(SIG_BLOCK, &set, &mask_at_load);
	slack_at_load = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	prctl(PR_SET_TIMERSLACK, timer_slack, 0, 0, 0);
	if(may_ask_for_slices()){
		struct scheduling s = scheduling_at_load;

		s.runtime = longest_slice;
		syscall(SYS_sched_setattr, 0, &s, 0);
	}else{
		scheduling_at_load.size = 0;
	}
}

/* Gives the main thread back what threads_begin has taken for the others. */
static void threads_begun(void)
{
	pthread_sigmask(SIG_SETMASK, &mask_at_load, NULL);
	if(slack_at_load > 0){
		prctl(PR_SET_TIMERSLACK, (unsigned long)slack_at_load, 0, 0, 0);
	}
	if(scheduling_at_load.size > 0){
		syscall(SYS_sched_setattr, 0, &scheduling_at_load, 0);
	}
}

#ifdef GJA_PRELOADED
/* Go's start, which is a constructor elsewhere. It needs the process's arguments, which musl does not pass to constructors. */
extern void GJA_RUNTIME_START(int argc, char **argv);
extern char **environ;

static void runtime_start(void)
{
	static bool started = false;
	/* argv, NULL, environment, NULL, auxiliary vector (AT_NULL): the layout of a program's stack. Go keeps a reference. */
	char **vector;
	size_t count = 0, at = 0;

	if(started){
		return;
	}
	while(environ[count] != NULL){
		count++;
	}
	vector = calloc(count + 5, sizeof(char *));
	if(vector == NULL){
		abort();
	}
	started = true;
	vector[at++] = "mosquitto";
	at++;
	for(size_t i = 0; i < count; i++){
		vector[at++] = environ[i];
	}
	threads_begin();
	GJA_RUNTIME_START(1, vector);
}
#endif

/* Called from callbacks, all of which come after Mosquitto has set its handlers. */
static void signals_use_altstack(void)
{
	static bool done = false;
	struct sigaction action;
	int sig;

	if(done){
		return;
	}
	done = true;
	for(int i = 0; (sig = handled_signal(i)) != 0; i++){
		if(sigaction(sig, NULL, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN &&
				!(action.sa_flags & SA_ONSTACK)){
			action.sa_flags |= SA_ONSTACK;
			sigaction(sig, &action, NULL);
		}
	}
}

/*
 * The broker sleeps up to 100 ms in its event loop. A signal to its thread ends that, and nothing else: system calls that
 * must not be interrupted are restarted (SA_RESTART), but epoll_wait never is. It is the highest real-time signal that is
 * not in use (2.1 rotates its log on SIGRTMIN); 0: all are in use, and verdicts wait for the next TICK. One serves all
 * instances. Its handler is never removed, since a signal may still be pending when an instance ends.
 */
static int wake_signal;

static void on_wake_signal(int sig)
{
	(void)sig;
}

static void wake_signal_choose(void)
{
	struct sigaction action;

	for(int sig = SIGRTMAX; wake_signal == 0 && sig > SIGRTMIN; sig--){
		if(sigaction(sig, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL){
			action.sa_handler = on_wake_signal;
			action.sa_flags = SA_ONSTACK | SA_RESTART;
			sigemptyset(&action.sa_mask);
			if(sigaction(sig, &action, NULL) == 0){
				wake_signal = sig;
			}
		}
	}
}

/* By the monotonic clock: with the time of day, setting the clock back by an hour would stop TICK for an hour. */
static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int on_basic_auth(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_basic_auth *login = event_data;
	struct gja_instance *instance = userdata;

	(void)event;
	/* The HTTP API of 2.1 asks from a thread of its own, about a client that is not an MQTT connection: no login by token. */
	if(!pthread_equal(pthread_self(), instance->main_thread)){
		return MOSQ_ERR_PLUGIN_DEFER;
	}
	signals_use_altstack();
	/* cgo has no const; Go copies the strings and keeps no pointer. */
	return gja_go_basic_auth(instance->handle, (uintptr_t)login->client, (char *)mosquitto_client_id(login->client),
			login->username, login->password, (char *)mosquitto_client_address(login->client));
}

static int on_tick(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_tick *tick = event_data;
	struct gja_instance *instance = userdata;

	(void)event;
	signals_use_altstack();
	/* 2.1 compares the time of the next TICK with the time of day: setting the clock back by an hour would stop TICK for an
	 * hour. So the next one is asked for at 0, which is always past. This does not shorten the broker's sleep, and 2.0 ignores
	 * the field. */
	tick->next_s = -tick->now_s;
	/* The flag is read before it is cleared: it is seldom set, and a read is cheaper than an exchange. */
	if((atomic_load(&instance->wake) && atomic_exchange(&instance->wake, false)) || now_ms() >= atomic_load(&instance->tick_at)){
		gja_go_tick(instance->handle);
	}
	return MOSQ_ERR_SUCCESS;
}

/* 2.1 only. The event's data begins with the same fields as DISCONNECT's. */
static int on_connect(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_disconnect *coming = event_data;
	struct gja_instance *instance = userdata;

	(void)event;
	signals_use_altstack();
	gja_go_connect(instance->handle, (uintptr_t)coming->client, (char *)mosquitto_client_id(coming->client));
	return MOSQ_ERR_SUCCESS;
}

/* 2.0 says only how the connection began, which since MQTT 5 does not determine how it ends: a client that began a new session
 * may have asked to have it kept. If it has subscriptions, so that messages may be queued for it, that is assumed. */
static bool may_be_kept(const struct mosquitto *client)
{
	return !mosquitto_client_clean_session(client) ||
			(mosquitto_client_protocol_version(client) == 5 && mosquitto_client_sub_count(client) > 0);
}

/* Also for CLIENT_OFFLINE, whose data begins with the same fields. */
static int on_disconnect(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_disconnect *leaving = event_data;
	struct gja_instance *instance = userdata;
	bool kept;

	signals_use_altstack();
	kept = gja_broker_is_2_1() ? event == GJA_EVT_CLIENT_OFFLINE : may_be_kept(leaving->client);
	gja_go_disconnect(instance->handle, (uintptr_t)leaving->client, kept);
	return MOSQ_ERR_SUCCESS;
}

static int on_reload(int event, void *event_data, void *userdata)
{
	struct gja_instance *instance = userdata;

	(void)event;
	(void)event_data;
	signals_use_altstack();
	gja_go_reload(instance->handle);
	/* 2.0 calls the next plugin only after DEFER; 2.1 calls all of them, and stops the broker on anything but success. */
	return gja_broker_is_2_1() ? MOSQ_ERR_SUCCESS : MOSQ_ERR_PLUGIN_DEFER;
}

/* Also for re-authentication, which the broker does not tell from a CONNECT here. */
static int on_ext_auth(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_extended_auth *login = event_data;
	struct gja_instance *instance = userdata;

	(void)event;
	if(!instance->ext_auth){
		return MOSQ_ERR_PLUGIN_DEFER;
	}
	signals_use_altstack();
	return gja_go_ext_auth(instance->handle, (uintptr_t)login->client, (char *)mosquitto_client_id(login->client),
			(char *)mosquitto_client_username(login->client), (char *)login->auth_method, (void *)login->data_in,
			login->data_in_len, (char *)mosquitto_client_address(login->client));
}

static int on_control(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_control *message = event_data;
	struct gja_instance *instance = userdata;

	(void)event;
	signals_use_altstack();
	gja_go_control(instance->handle, (uintptr_t)message->client, (char *)mosquitto_client_id(message->client),
			(char *)mosquitto_client_username(message->client), (char *)message->topic, (void *)message->payload,
			message->payloadlen);
	/* Anything else would end the client's connection. */
	return MOSQ_ERR_SUCCESS;
}

/* With check_retain_source, whoever has published a retained message is asked about before that is delivered. It is shown as a
 * client that has nothing but names, at an address on the broker's stack. */
static bool is_retain_source(const struct mosquitto_evt_acl_check *check)
{
	return check->access == MOSQ_ACL_WRITE && check->retain && mosquitto_client_address(check->client) == NULL;
}

static int on_acl_check(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_acl_check *check = event_data;
	struct gja_instance *instance = userdata;
	struct action action = {
			.client = (uintptr_t)check->client,
			.access = (uint8_t)check->access,
			.qos = check->qos,
			.retain = check->retain,
			.topic = check->topic,
	};
	const char *id, *username;
	int rc;

	(void)event;
	/* The HTTP API of 2.1 asks from a thread of its own, as it does in BASIC_AUTH. */
	if(!pthread_equal(pthread_self(), instance->main_thread)){
		return MOSQ_ERR_PLUGIN_DEFER;
	}
	if(!client_set_has(&instance->asked_about, action.client)){
		if(!is_retain_source(check)){
			return MOSQ_ERR_PLUGIN_DEFER;
		}
		action.client = 0;
	}
	action.length = strlen(check->topic);
	if(accepted_has(instance->accepted, &action)){
		instance->accepted_again++;
		return MOSQ_ERR_SUCCESS;
	}
	signals_use_altstack();
	id = mosquitto_client_id(check->client);
	username = mosquitto_client_username(check->client);
	/* Go reads the strings where they are. */
	rc = gja_go_acl_check(instance->handle, action.client, (char *)id, id ? strlen(id) : 0, (char *)username,
			username ? strlen(username) : 0, (char *)check->topic, action.length, check->access, check->qos, check->retain);
	if(rc == GJA_ACCEPTED_UNTIL_ASKED){
		accepted_add(instance->accepted, &action);
		return MOSQ_ERR_SUCCESS;
	}
	return rc;
}

static const struct {
	int event;
	MOSQ_FUNC_generic_callback callback;
	bool only_2_1;
} callbacks[] = {
		{MOSQ_EVT_BASIC_AUTH, on_basic_auth, false},
		{MOSQ_EVT_TICK, on_tick, false},
		{MOSQ_EVT_DISCONNECT, on_disconnect, false},
		{MOSQ_EVT_RELOAD, on_reload, false},
		{GJA_EVT_CONNECT, on_connect, true},
		{GJA_EVT_CLIENT_OFFLINE, on_disconnect, true},
};

#define CALLBACKS (sizeof(callbacks) / sizeof(callbacks[0]))

static void instance_free(struct gja_instance *instance)
{
	for(size_t i = 0; i < CALLBACKS; i++){
		if(!callbacks[i].only_2_1 || gja_broker_is_2_1()){
			mosquitto_callback_unregister(instance->identifier, callbacks[i].event, callbacks[i].callback, NULL);
		}
	}
	/* Those that Go has asked for, $CONTROL topics excepted: Go knows them. */
	mosquitto_callback_unregister(instance->identifier, MOSQ_EVT_ACL_CHECK, on_acl_check, NULL);
	mosquitto_callback_unregister(instance->identifier, MOSQ_EVT_EXT_AUTH_START, on_ext_auth, NULL);
	if(instance->handle != 0){
		gja_go_cleanup(instance->handle);
	}
	client_set_free(&instance->asked_about);
	free(instance->accepted);
	free(instance);
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

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options, int option_count)
{
	struct gja_instance *instance;
	int rc;

#ifdef GJA_PRELOADED
	runtime_start();
#endif
	threads_begun();
	wake_signal_choose();
	instance = calloc(1, sizeof(struct gja_instance));
	if(instance == NULL){
		return MOSQ_ERR_NOMEM;
	}
	instance->identifier = identifier;
	instance->main_thread = pthread_self();
	atomic_init(&instance->tick_at, INT64_MAX);
	atomic_init(&instance->wake, false);

	instance->handle = gja_go_init(instance, options, option_count);
	if(instance->handle == 0){
		/* The Go side has logged the reason. */
		instance_free(instance);
		return MOSQ_ERR_INVAL;
	}
	for(size_t i = 0; i < CALLBACKS; i++){
		if(callbacks[i].only_2_1 && !gja_broker_is_2_1()){
			continue;
		}
		rc = mosquitto_callback_register(identifier, callbacks[i].event, callbacks[i].callback, NULL, instance);
		if(rc == MOSQ_ERR_ALREADY_EXISTS){
			gja_log(MOSQ_LOG_ERR,
					"go_jwt_auth: the plugin is loaded twice for the same listeners: one `plugin` line is enough, "
					"and with per_listener_settings true each listener can have one");
		}
		if(rc != MOSQ_ERR_SUCCESS){
			instance_free(instance);
			return rc;
		}
	}
	*userdata = instance;
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	(void)options;
	(void)option_count;
	/* NULL if init failed: 2.0 cleans up all the same. */
	if(userdata != NULL){
		instance_free(userdata);
	}
	return MOSQ_ERR_SUCCESS;
}

void gja_tick_in(struct gja_instance *instance, int64_t ms)
{
	atomic_store(&instance->tick_at, now_ms() + ms);
}

void gja_wake(struct gja_instance *instance)
{
	atomic_store(&instance->wake, true);
	if(wake_signal != 0){
		pthread_kill(instance->main_thread, wake_signal);
	}
}

void gja_log(int level, const char *line)
{
	mosquitto_log_printf(level, "%s", line);
}

bool gja_broker_is_2_1(void)
{
	return mosquitto_set_clientid != NULL;
}

void gja_set_info(struct gja_instance *instance, const char *version)
{
	if(mosquitto_plugin_set_info != NULL){
		mosquitto_plugin_set_info(instance->identifier, "go_jwt_auth", version);
	}
}

int gja_set_username(uintptr_t client, const char *username)
{
	return mosquitto_set_username((struct mosquitto *)client, username);
}

int gja_set_clientid(uintptr_t client, const char *clientid)
{
	return mosquitto_set_clientid != NULL ? mosquitto_set_clientid((struct mosquitto *)client, clientid) : MOSQ_ERR_NOT_SUPPORTED;
}

bool gja_holds(const char *clientid, uintptr_t client)
{
	return mosquitto_client == NULL || (uintptr_t)mosquitto_client(clientid) == client;
}

bool gja_knows(const char *clientid, uintptr_t client, bool before_tick)
{
	const struct mosquitto *known = (const struct mosquitto *)client;

	if(mosquitto_client != NULL){
		return mosquitto_client(clientid) == known;
	}
	return mosquitto_client_sub_count(known) > 0 || (before_tick && mosquitto_client_protocol(known) != mp_websockets);
}

struct mosquitto *gja_session(const char *clientid)
{
	return mosquitto_client != NULL ? mosquitto_client(clientid) : NULL;
}

const char *gja_username(const struct mosquitto *client)
{
	return mosquitto_client_username(client);
}

static bool has_certificate(const struct mosquitto *client)
{
	/* A certificate that could not be given back would be lost memory. */
	void *certificate = X509_free != NULL ? mosquitto_client_certificate(client) : NULL;

	if(certificate != NULL){
		X509_free(certificate);
	}
	return certificate != NULL;
}

struct gja_client gja_client_of(uintptr_t of)
{
	const struct mosquitto *client = (const struct mosquitto *)of;

	return (struct gja_client){
			.client = of,
			.id = mosquitto_client_id(client),
			.username = mosquitto_client_username(client),
			.address = mosquitto_client_address(client),
			.subscriptions = mosquitto_client_sub_count(client),
			.port = mosquitto_client_port != NULL ? mosquitto_client_port(client) : 0,
			.protocol_version = mosquitto_client_protocol_version(client),
			.keepalive = (uint16_t)mosquitto_client_keepalive(client),
			.websockets = mosquitto_client_protocol(client) == mp_websockets,
			.clean_start = mosquitto_client_clean_session(client),
			.certificate = has_certificate(client),
	};
}

static int add_client(const struct mosquitto *client, void *context)
{
	struct gja_clients *all = context;

	if(all->count == all->space){
		size_t space = all->space ? 2 * all->space : 256;
		struct gja_client *list = realloc(all->list, space * sizeof(*list));

		if(list == NULL){
			return MOSQ_ERR_NOMEM;
		}
		all->list = list;
		all->space = space;
	}
	all->list[all->count++] = gja_client_of((uintptr_t)client);
	return MOSQ_ERR_SUCCESS;
}

struct gja_clients gja_all_clients(void)
{
	struct gja_clients all = {0};

	all.complete = mosquitto_apply_on_all_clients != NULL && mosquitto_apply_on_all_clients(add_client, &all) == MOSQ_ERR_SUCCESS;
	return all;
}

void gja_complete(const char *clientid, bool accepted)
{
	if(mosquitto_complete_basic_auth != NULL){
		mosquitto_complete_basic_auth(clientid, accepted ? MOSQ_ERR_SUCCESS : MOSQ_ERR_AUTH);
	}
}

int gja_publish(const char *clientid, const char *topic, const void *payload, int length)
{
	/* Never without an id: Mosquitto takes NULL for "everybody who has subscribed". */
	return mosquitto_broker_publish_copy(clientid, topic, length, payload, 1, false, NULL);
}

int gja_on_control(struct gja_instance *instance, const char *topic, bool on)
{
	if(on){
		return mosquitto_callback_register(instance->identifier, MOSQ_EVT_CONTROL, on_control, topic, instance);
	}
	return mosquitto_callback_unregister(instance->identifier, MOSQ_EVT_CONTROL, on_control, topic);
}

int gja_on_acl_check(struct gja_instance *instance, bool on)
{
	if(on){
		return mosquitto_callback_register(instance->identifier, MOSQ_EVT_ACL_CHECK, on_acl_check, NULL, instance);
	}
	return mosquitto_callback_unregister(instance->identifier, MOSQ_EVT_ACL_CHECK, on_acl_check, NULL);
}

/* Unregistered with the instance alone: 2.0 reads its list of callbacks while it calls them, and a call may be the occasion of
 * a reload. To be registered and to defer is the same to the broker as not to be registered. */
int gja_on_ext_auth(struct gja_instance *instance, bool on)
{
	int rc = MOSQ_ERR_SUCCESS;

	if(on){
		rc = mosquitto_callback_register(instance->identifier, MOSQ_EVT_EXT_AUTH_START, on_ext_auth, NULL, instance);
	}
	instance->ext_auth = on && rc == MOSQ_ERR_SUCCESS;
	return rc;
}

void gja_ask_about(struct gja_instance *instance, uintptr_t client, bool ask)
{
	accepted_forget(instance->accepted, client);
	if(ask){
		if(instance->accepted == NULL){
			instance->accepted = accepted_new();
		}
		client_set_add(&instance->asked_about, client);
	}else{
		client_set_remove(&instance->asked_about, client);
	}
}

uint64_t gja_take_accepted(struct gja_instance *instance)
{
	uint64_t times = instance->accepted_again;

	instance->accepted_again = 0;
	return times;
}

bool gja_may_keep_will(uintptr_t client)
{
	return mosquitto_client_protocol_version((struct mosquitto *)client) == 5;
}

const char *gja_persistence_location(void)
{
	return mosquitto_persistence_location != NULL ? mosquitto_persistence_location() : NULL;
}
