// Command cgo is the shared library: the border between Mosquitto and package plugin.
//
// Every function that C calls recovers from a panic by denying; a C string becomes a Go string here, once.
package main

/*
#cgo CFLAGS: -I${SRCDIR}/../include -Wall -Wextra
#cgo LDFLAGS: -Wl,--unresolved-symbols=ignore-all
#include <string.h>
#include "go_jwt_auth.h"
*/
import "C"

import (
	"fmt"
	"runtime/cgo"
	"unsafe"

	"go-jwt-auth/plugin"
	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/guard"
	"go-jwt-auth/plugin/verdict"
)

func main() {}

// table is shared by all instances, as the broker has one table of client ids.
var table = plugin.NewTable()

//export gja_go_init
func gja_go_init(c *C.struct_gja_instance, options *C.struct_mosquitto_opt, count C.int) (handle C.uintptr_t) {
	b := &mosquitto{instance: c, is21: bool(C.gja_broker_is_2_1()), topics: make(map[string]bool)}
	defer func() {
		if handle == 0 {
			b.release()
		}
	}()
	defer guard.Catch(fault("start", func() { handle = 0 }))
	settings := make(map[string]string)
	for _, option := range unsafe.Slice(options, int(count)) {
		settings[C.GoString(option.key)] = C.GoString(option.value)
	}
	b.setInfo(plugin.Version)
	p, err := plugin.New(b, plugin.Options{Settings: settings, Table: table})
	if err != nil {
		return 0
	}
	return C.uintptr_t(cgo.NewHandle(&instance{Plugin: p, broker: b}))
}

// instance is what a handle stands for.
type instance struct {
	*plugin.Plugin
	broker *mosquitto
}

//export gja_go_cleanup
func gja_go_cleanup(handle C.uintptr_t) {
	defer guard.Catch(fault("cleanup", nil))
	i := of(handle)
	i.broker.release()
	i.Close()
	cgo.Handle(handle).Delete()
}

//export gja_go_basic_auth
func gja_go_basic_auth(handle, client C.uintptr_t, id, username, password, address *C.char) (rc C.int) {
	defer guard.Catch(fault("login", func() { rc = C.MOSQ_ERR_AUTH }))
	v := of(handle).BasicAuth(broker.Connect{
		Conn:     broker.Conn(client),
		ClientID: C.GoString(id),
		Username: optional(username),
		Password: optional(password),
		Address:  C.GoString(address),
	})
	switch v.Kind {
	case verdict.Accept:
		return C.MOSQ_ERR_SUCCESS
	case verdict.Defer:
		return C.MOSQ_ERR_PLUGIN_DEFER
	case verdict.Pending:
		return C.GJA_ERR_AUTH_DELAYED
	case verdict.Retry:
		// Anything but AUTH and DEFER closes the connection without a CONNACK, which clients take for a lost connection.
		return C.MOSQ_ERR_UNKNOWN
	case verdict.Deny:
		return refusal(v.Reason)
	}
	return C.MOSQ_ERR_AUTH
}

// refusal is the result that refuses a client: Mosquitto 2.1 has some that tell MQTT 5 clients more than "not authorized".
func refusal(reason verdict.Reason) C.int {
	switch {
	case !bool(C.gja_broker_is_2_1()):
	case reason == verdict.ServerBusy:
		return C.GJA_ERR_SERVER_BUSY
	case reason.Unavailable():
		return C.GJA_ERR_SERVER_UNAVAILABLE
	}
	return C.MOSQ_ERR_AUTH
}

//export gja_go_ext_auth
func gja_go_ext_auth(handle, client C.uintptr_t, id, username, method *C.char, data unsafe.Pointer, length C.uint16_t, address *C.char) (rc C.int) {
	defer guard.Catch(fault("enhanced authentication", func() { rc = C.MOSQ_ERR_AUTH }))
	v := of(handle).ExtAuth(broker.ExtAuth{
		Connect: broker.Connect{
			Conn:     broker.Conn(client),
			ClientID: C.GoString(id),
			Username: optional(username),
			Address:  C.GoString(address),
		},
		Method: C.GoString(method),
		Data:   C.GoStringN((*C.char)(data), C.int(length)),
	})
	switch v.Kind {
	case verdict.Accept:
		return C.MOSQ_ERR_SUCCESS
	case verdict.Defer:
		// If nobody else knows the method either, the client is told "bad authentication method" (0x8C).
		return C.MOSQ_ERR_PLUGIN_DEFER
	case verdict.Retry:
		return C.MOSQ_ERR_UNKNOWN
	case verdict.Deny, verdict.Pending:
	}
	// The codes of 2.1 that tell more would close the connection without an answer here.
	return C.MOSQ_ERR_AUTH
}

//export gja_go_control
func gja_go_control(handle, client C.uintptr_t, id, username, topic *C.char, payload unsafe.Pointer, length C.uint32_t) {
	defer guard.Catch(fault("a message to $CONTROL", nil))
	of(handle).Control(broker.Message{
		Conn:     broker.Conn(client),
		ClientID: C.GoString(id),
		Username: optional(username),
		Topic:    C.GoString(topic),
		Payload:  unsafe.Slice((*byte)(payload), int(length)),
	})
}

// gja_go_acl_check is called for each message to each subscriber: it neither copies nor allocates.
//
//export gja_go_acl_check
func gja_go_acl_check(handle, client C.uintptr_t, id *C.char, idLength C.size_t, username *C.char, usernameLength C.size_t,
	topic *C.char, topicLength C.size_t, access C.int, qos C.uint8_t, retain C.bool,
) (rc C.int) {
	defer guard.Catch(fault("access check", func() { rc = C.MOSQ_ERR_ACL_DENIED }))
	kind, lasts := of(handle).ACLCheck(broker.ACLCheck{
		Conn:     broker.Conn(client),
		ClientID: borrow(id, idLength),
		Username: borrow(username, usernameLength),
		Access:   broker.Access(access),
		Topic:    borrow(topic, topicLength),
		QoS:      uint8(qos),
		Retain:   bool(retain),
	})
	switch kind {
	case verdict.Accept:
		if lasts {
			return C.GJA_ACCEPTED_UNTIL_ASKED
		}
		return C.MOSQ_ERR_SUCCESS
	case verdict.Defer:
		return C.MOSQ_ERR_PLUGIN_DEFER
	case verdict.Deny, verdict.Retry, verdict.Pending:
	}
	return C.MOSQ_ERR_ACL_DENIED
}

// borrow is a string over C's memory; NULL is empty.
func borrow(s *C.char, length C.size_t) string {
	return unsafe.String((*byte)(unsafe.Pointer(s)), int(length))
}

// borrowAll is borrow for a string whose length C has not taken.
func borrowAll(s *C.char) string {
	if s == nil {
		return ""
	}
	return borrow(s, C.strlen(s))
}

//export gja_go_tick
func gja_go_tick(handle C.uintptr_t) {
	defer guard.Catch(fault("tick", nil))
	of(handle).Tick()
}

//export gja_go_connect
func gja_go_connect(handle, client C.uintptr_t, id *C.char) {
	defer guard.Catch(fault("connect", nil))
	of(handle).Connect(broker.Conn(client), C.GoString(id))
}

//export gja_go_disconnect
func gja_go_disconnect(handle, client C.uintptr_t, kept C.bool) {
	defer guard.Catch(fault("disconnect", nil))
	of(handle).Disconnect(broker.Conn(client), bool(kept))
}

//export gja_go_reload
func gja_go_reload(handle C.uintptr_t) {
	defer guard.Catch(fault("reload", nil))
	of(handle).Reload()
}

// of returns the instance behind a handle that C holds.
func of(handle C.uintptr_t) *instance {
	return cgo.Handle(handle).Value().(*instance) //nolint:errcheck,forcetypeassert // a panic is the answer to anything else
}

// fault logs a panic; answer sets what C is told then. See guard.Catch.
func fault(during string, answer func()) func(error) {
	return func(fault error) {
		if answer != nil {
			answer()
		}
		broker.NewLog(&mosquitto{}).Text(event.Error, fmt.Sprintf("fault during %s, denied: %s", during, fault))
	}
}

// optional tells a missing string (NULL) from an empty one.
func optional(s *C.char) *string {
	if s == nil {
		return nil
	}
	text := C.GoString(s)
	return &text
}
