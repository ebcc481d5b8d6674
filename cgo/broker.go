package main

/*
#include <stdlib.h>
#include "go_jwt_auth.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/event"
)

// broker is broker.Broker over the functions that Mosquitto exports.
type mosquitto struct {
	instance *C.struct_gja_instance
	// is21: the broker is 2.1 or newer. It is asked for at each login, and so is known on this side.
	is21 bool
	// space is lend's; nil while C has it.
	space []byte
	// What is registered: the $CONTROL topics, ACL_CHECK and EXT_AUTH_START.
	topics             map[string]bool
	checksACL, extAuth bool
}

func (b *mosquitto) Log(level event.Level, line []byte) {
	priority := C.int(C.MOSQ_LOG_ERR)
	switch level {
	case event.Error:
	case event.Warning:
		priority = C.MOSQ_LOG_WARNING
	case event.Notice:
		priority = C.MOSQ_LOG_NOTICE
	case event.Info:
		priority = C.MOSQ_LOG_INFO
	case event.Debug:
		priority = C.MOSQ_LOG_DEBUG
	}
	lend(b, line, func(s *C.char) C.int {
		C.gja_log(priority, s)
		return 0
	})
}

func (b *mosquitto) SetUsername(client broker.Conn, username string) error {
	return failure(lend(b, username, func(s *C.char) C.int { return C.gja_set_username(C.uintptr_t(client), s) }))
}

func (b *mosquitto) SetClientID(client broker.Conn, id string) error {
	return failure(lend(b, id, func(s *C.char) C.int { return C.gja_set_clientid(C.uintptr_t(client), s) }))
}

func (b *mosquitto) CanSetClientID() bool { return b.is21 }

func (b *mosquitto) CanDelay() bool { return b.is21 }

func (b *mosquitto) TellsOfConnects() bool { return b.is21 }

func (b *mosquitto) Complete(clientID string, accepted bool) {
	lend(b, clientID, func(s *C.char) C.int {
		C.gja_complete(s, C.bool(accepted))
		return 0
	})
}

func (b *mosquitto) IsConnectedAs(clientID string, client broker.Conn) bool {
	return lend(b, clientID, func(s *C.char) bool { return bool(C.gja_holds(s, C.uintptr_t(client))) })
}

func (b *mosquitto) Knows(clientID string, client broker.Conn, beforeTick bool) bool {
	return lend(b, clientID, func(s *C.char) bool { return bool(C.gja_knows(s, C.uintptr_t(client), C.bool(beforeTick))) })
}

func (b *mosquitto) Session(clientID string) (username string, there, known bool) {
	if !b.CanSetClientID() {
		return "", false, false
	}
	client := lend(b, clientID, func(s *C.char) *C.struct_mosquitto { return C.gja_session(s) })
	if client == nil {
		return "", false, true
	}
	return C.GoString(C.gja_username(client)), true, true
}

func (b *mosquitto) Client(client broker.Conn) broker.ClientInfo {
	c := C.gja_client_of(C.uintptr_t(client))
	info := clientInfo(&c)
	info.ClientID, info.Username, info.Address = C.GoString(c.id), optional(c.username), C.GoString(c.address)
	return info
}

func (b *mosquitto) EachClient(f func(broker.ClientInfo)) bool {
	all := C.gja_all_clients()
	defer C.free(unsafe.Pointer(all.list))
	if !all.complete {
		return false
	}
	clients := unsafe.Slice(all.list, int(all.count))
	for i := range clients {
		c := &clients[i]
		info := clientInfo(c)
		info.ClientID, info.Address = borrowAll(c.id), borrowAll(c.address)
		if c.username != nil {
			username := borrowAll(c.username)
			info.Username = &username
		}
		f(info)
	}
	return true
}

// clientInfo is all but the strings.
func clientInfo(c *C.struct_gja_client) broker.ClientInfo {
	return broker.ClientInfo{
		Conn:          broker.Conn(c.client),
		KeepAlive:     uint16(c.keepalive),
		WebSocket:     bool(c.websockets),
		Version:       uint8(c.protocol_version),
		Subscriptions: int(c.subscriptions),
		CleanStart:    bool(c.clean_start),
		Port:          uint16(c.port),
		Certificate:   bool(c.certificate),
	}
}

func (b *mosquitto) Kick(clientID string, withWill bool) error {
	// Never without an id: Mosquitto takes NULL for "everybody".
	rc := lend(b, clientID, func(s *C.char) C.int { return C.mosquitto_kick_client_by_clientid(s, C.bool(withWill)) })
	if rc == C.MOSQ_ERR_NOT_FOUND {
		return broker.ErrNotConnected
	}
	return failure(rc)
}

func (b *mosquitto) Publish(clientID, topic string, payload []byte) error {
	return failure(lend(b, clientID, func(id *C.char) C.int {
		return lend(b, topic, func(s *C.char) C.int {
			return C.gja_publish(id, s, unsafe.Pointer(unsafe.SliceData(payload)), C.int(len(payload)))
		})
	}))
}

func (b *mosquitto) Control(topic string, on bool) error {
	if b.topics[topic] == on { // 2.1 would unregister another instance's
		return nil
	}
	err := failure(lend(b, topic, func(s *C.char) C.int { return C.gja_on_control(b.instance, s, C.bool(on)) }))
	switch {
	case err != nil:
	case on:
		b.topics[topic] = true
	default:
		delete(b.topics, topic)
	}
	return err
}

func (b *mosquitto) CheckACL(on bool) error {
	return register(on, &b.checksACL, func() C.int { return C.gja_on_acl_check(b.instance, C.bool(on)) })
}

func (b *mosquitto) ExtAuths(on bool) error {
	return register(on, &b.extAuth, func() C.int { return C.gja_on_ext_auth(b.instance, C.bool(on)) })
}

// register calls for a change, if it is one.
func register(on bool, is *bool, call func() C.int) error {
	if *is == on {
		return nil
	}
	err := failure(call())
	if err == nil {
		*is = on
	}
	return err
}

func (b *mosquitto) AskAbout(client broker.Conn, ask bool) {
	C.gja_ask_about(b.instance, C.uintptr_t(client), C.bool(ask))
}

func (b *mosquitto) TakeAccepted() uint64 { return uint64(C.gja_take_accepted(b.instance)) }

func (b *mosquitto) MayKeepWill(client broker.Conn) bool {
	return bool(C.gja_may_keep_will(C.uintptr_t(client)))
}

// release unregisters the $CONTROL topics, before C frees the instance.
func (b *mosquitto) release() {
	for topic := range b.topics {
		_ = b.Control(topic, false) // nothing is left to be done about it
	}
}

func (b *mosquitto) PersistenceLocation() string { return C.GoString(C.gja_persistence_location()) }

func (b *mosquitto) TickIn(wait time.Duration) {
	// Rounded up, since a Tick that comes too soon finds nothing to do.
	C.gja_tick_in(b.instance, C.int64_t((wait+time.Millisecond-1)/time.Millisecond))
}

func (b *mosquitto) Wake() { C.gja_wake(b.instance) }

func (b *mosquitto) setInfo(version string) {
	lend(b, version, func(s *C.char) C.int {
		C.gja_set_info(b.instance, s)
		return 0
	})
}

// lend lends a string to C for one call, in space that the broker's thread uses again: to have C allocate and free it takes
// three times as long. From inside of the call the broker may call back, and another string be lent.
func lend[S string | []byte, T any](b *mosquitto, s S, call func(*C.char) T) T {
	text := append(append(b.space[:0], s...), 0)
	b.space = nil
	result := call((*C.char)(unsafe.Pointer(unsafe.SliceData(text))))
	b.space = text
	return result
}

func failure(rc C.int) error {
	switch rc {
	case C.MOSQ_ERR_SUCCESS:
		return nil
	case C.MOSQ_ERR_ALREADY_EXISTS:
		return broker.ErrTaken
	case C.MOSQ_ERR_NOT_SUPPORTED:
		return errors.New("it does not support that")
	case C.MOSQ_ERR_NOMEM:
		return errors.New("it has no memory left")
	default:
		return fmt.Errorf("it answered with error %d", int(rc))
	}
}
