package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// settings are what ../README.md says about the environment.
type settings struct {
	issuer, clientID, secret, scope, audience string

	broker              *url.URL
	mqttClientID, topic string
	interval            time.Duration
	tls                 *tls.Config
}

func readSettings() (s settings, err error) {
	s = settings{
		issuer: os.Getenv("ISSUER"), clientID: os.Getenv("CLIENT_ID"), secret: os.Getenv("CLIENT_SECRET"),
		scope: os.Getenv("SCOPE"), audience: os.Getenv("AUDIENCE"),
		mqttClientID: cmp.Or(os.Getenv("MQTT_CLIENT_ID"), os.Getenv("CLIENT_ID")),
		topic:        cmp.Or(os.Getenv("TOPIC"), "examples/go"),
		tls:          &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if file := os.Getenv("CLIENT_SECRET_FILE"); file != "" {
		secret, err := os.ReadFile(file)
		if err != nil {
			return s, err
		}
		s.secret = strings.TrimSpace(string(secret))
	}
	if s.issuer == "" || s.clientID == "" || s.secret == "" || os.Getenv("MQTT_URL") == "" {
		return s, errors.New("ISSUER, CLIENT_ID, CLIENT_SECRET or CLIENT_SECRET_FILE, or MQTT_URL is not set")
	}
	if err := wantPrivate("ISSUER", s.issuer); err != nil {
		return s, err
	}
	if s.broker, err = url.Parse(os.Getenv("MQTT_URL")); err != nil {
		return s, fmt.Errorf("MQTT_URL: %w", err)
	}
	seconds, err := strconv.ParseFloat(cmp.Or(os.Getenv("INTERVAL"), "1"), 64)
	if err != nil || seconds <= 0 {
		return s, errors.New("INTERVAL is no number of seconds")
	}
	s.interval = time.Duration(seconds * float64(time.Second))
	if file := os.Getenv("CA_FILE"); file != "" {
		authority, err := os.ReadFile(file)
		if err != nil {
			return s, err
		}
		s.tls.RootCAs = x509.NewCertPool()
		if !s.tls.RootCAs.AppendCertsFromPEM(authority) {
			return s, fmt.Errorf("CA_FILE: no certificate in %s", file)
		}
	}
	return s, nil
}

// wantPrivate is an error unless the secret can be sent there: by TLS, or to this machine.
func wantPrivate(name, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	switch host := u.Hostname(); {
	case u.Scheme == "https", host == "localhost", host == "127.0.0.1", host == "::1":
		return nil
	}
	return fmt.Errorf("%s must begin with https://, or the secret could be read on its way", name)
}
