package main

// scene is a few steps that show one thing.
type scene struct {
	title string
	steps []step
}

// step is one thing that is tried. It went as told if what came back is want, to the letter.
type step struct {
	tried, want string
	do          func(*stage) outcome
}

// outcome is what came back.
type outcome struct {
	got   string
	aside string // what differs from run to run
	log   string // the broker's line about it
	shown string // what a program printed, line for line
}

// scenes are the whole show, in order: later steps use what earlier ones have set up.
var scenes = []scene{
	{"A good token gets in, whatever username comes with it", []step{
		{
			`connect with the username "whoever"`, `accepted, known as "sensor-1"`,
			func(s *stage) outcome { return s.connect("good-1", new("whoever"), s.good) },
		},
		{
			`connect with the administrator's username`, `accepted, known as "sensor-1"`,
			func(s *stage) outcome { return s.connect("good-2", new("admin"), s.good) },
		},
		{
			`connect without any username`, `accepted, known as "sensor-1"`,
			func(s *stage) outcome { return s.connect("good-3", nil, s.good) },
		},
	}},
	{"It may use its own topics, and not others'", []step{
		{
			`dynsec's admin logs in with a password`, `accepted, known as "admin"; watches every topic`,
			(*stage).watch,
		},
		{
			`sensor-1 subscribes to sensors/1/orders`, `granted`,
			func(s *stage) outcome { return s.subscribe("sensors/1/orders") },
		},
		{
			`sensor-1 subscribes to sensors/2/orders`, `refused with 0x87`,
			func(s *stage) outcome { return s.subscribe("sensors/2/orders") },
		},
		{
			`sensor-1 publishes on sensors/1/temperature`, `acknowledged, and the watcher got it`,
			func(s *stage) outcome { return s.publish("sensors/1/temperature") },
		},
		{
			`sensor-1 publishes on sensors/2/temperature`, `refused with 0x87, and the watcher got nothing`,
			func(s *stage) outcome { return s.publish("sensors/2/temperature") },
		},
		{
			`mosquitto_pub with the token as its password`, `exit code 0, and the watcher got it`,
			func(s *stage) outcome { return s.mosquittoPub("sensors/1/humidity") },
		},
	}},
	{"A bad token is refused, and the broker's log says why", []step{
		{
			`forged: signed with another key`, `refused with 0x87: bad signature`,
			func(s *stage) outcome { return s.connect("forged-1", new("sensor-1"), s.otherKey()) },
		},
		{
			`forged: its subject changed to "admin"`, `refused with 0x87: bad signature`,
			func(s *stage) outcome { return s.connect("forged-2", new("sensor-1"), s.otherSubject()) },
		},
		{
			`forged: not signed at all (alg "none")`, `refused with 0x87: wrong algorithm`,
			func(s *stage) outcome { return s.connect("forged-3", new("sensor-1"), s.unsigned()) },
		},
		{
			`expired a minute ago`, `refused with 0x87: expired`,
			func(s *stage) outcome { return s.connect("expired", new("sensor-1"), s.expired()) },
		},
		{
			`valid and in use: connect once`, `accepted, known as "sensor-1"`,
			func(s *stage) outcome { return s.connect("revoked-1", new("sensor-1"), s.good) },
		},
		{
			`the same one, after the provider revoked it`, `refused with 0x87: revoked`,
			func(s *stage) outcome { return s.connect("revoked-2", new("sensor-1"), s.revoked()) },
		},
	}},
	{"Who is connected leaves when its token expires, unless it brings a fresh one", []step{
		{
			`connect with a short-lived token and a will`, `accepted, known as "sensor-1"`,
			(*stage).connectBriefly,
		},
		{
			`connect another client with the same token`, `accepted, known as "sensor-1"`,
			(*stage).connectStaying,
		},
		{
			`the other one hands over a fresh token`, `renewed on this connection`,
			(*stage).renew,
		},
		{
			`and a token of somebody else`, `refused: identity mismatch`,
			(*stage).renewAsAnother,
		},
		{
			`the first stays until its token expires`, `disconnected with 0x98`,
			(*stage).stay,
		},
		{
			`the watcher looks for the will`, `it came on sensors/1/status: "offline"`,
			(*stage).findWill,
		},
		{
			`the other one publishes on sensors/1/pressure`, `acknowledged, and the watcher got it`,
			func(s *stage) outcome { return s.publish("sensors/1/pressure") },
		},
		{
			`connect with the expired token again`, `refused with 0x87: expired`,
			func(s *stage) outcome { return s.connect("again", new("sensor-1"), s.brief) },
		},
	}},
	{"Who is connected, and who was refused: an administrator asks with the tool", []step{
		{
			`ops runs go-jwt-auth clients`, `exit code 0; 2 of 2 are in it`,
			func(s *stage) outcome {
				return s.tool("clients", map[string]string{"good-1": "sensor-1 .* token ", "staying": "sensor-1 .* token "})
			},
		},
		{
			`ops runs go-jwt-auth refusals`, `exit code 0; 5 of 5 are in it`,
			func(s *stage) outcome {
				return s.tool("refusals", map[string]string{
					"forged-1": "bad signature", "forged-3": "wrong algorithm", "expired": "expired", "revoked-2": "revoked", "again": "expired",
				})
			},
		},
	}},
}
