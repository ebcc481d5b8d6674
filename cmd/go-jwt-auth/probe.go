package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/plugin"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/guard"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// probeReport is what probe prints: either of the one provider of a file without names, or of each by its name.
type probeReport struct {
	File  string `json:"file"`
	Works bool   `json:"works"`
	*providerReport
	Providers []providerReport `json:"providers,omitempty"`
}

// providerReport is what probe prints of one provider.
type providerReport struct {
	Name      string           `json:"name,omitempty"`
	Works     bool             `json:"works"`
	Endpoints []endpointReport `json:"endpoints"`
	Keys      []keyReport      `json:"keys"`
	// Skipped says of each key that is not used, why.
	Skipped  []string `json:"skippedKeys"`
	Warnings []string `json:"warnings"`
	Faults   []string `json:"faults"`

	// no: the plugin can't work with it; unknown: nobody answered who could tell.
	no, unknown bool
}

// fault records why the plugin could not work with what was seen. It is unknown for now where the provider is just not there.
func (r *providerReport) fault(text string, unknown bool) {
	r.Works = false
	r.Faults = append(r.Faults, text)
	if unknown {
		r.unknown = true
	} else {
		r.no = true
	}
}

// verdictOn is the error that a command ends with: the worst of any provider counts.
func verdictOn(reports []providerReport) error {
	switch {
	case slices.ContainsFunc(reports, func(r providerReport) bool { return r.no }):
		return errNo
	case slices.ContainsFunc(reports, func(r providerReport) bool { return r.unknown }):
		return errUntold
	default:
		return nil
	}
}

type endpointReport struct {
	What   string `json:"what"`
	URI    string `json:"uri"`
	Path   string `json:"path"`
	Status int    `json:"status,omitempty"`
	Millis int64  `json:"ms,omitempty"`
	Error  string `json:"error,omitempty"`
	// Revocation is what the revocation endpoint said of a made-up token.
	Revocation string `json:"answer,omitempty"`
	// Doubt is why it may be the wrong address.
	Doubt string `json:"doubt,omitempty"`
	// SkewSeconds is how far the provider's clock is ahead of this machine's; the Date header has whole seconds.
	SkewSeconds *float64           `json:"clockSkewSeconds,omitempty"`
	TLS         string             `json:"tls,omitempty"`
	Certificate *certificateReport `json:"certificate,omitempty"`

	// bad: there was an answer, which is of no use.
	bad bool
}

type certificateReport struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Names     []string  `json:"names"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	DaysLeft  int       `json:"daysLeft"`
}

type keyReport struct {
	ID         string   `json:"kid"`
	Kind       string   `json:"kind"`
	Bits       int      `json:"bits"`
	Algorithms []string `json:"algorithms"`
}

func newProbe(c *console) *cobra.Command {
	var file string
	var as brokerUser
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Reach every endpoint of a jwt.json, and show keys, certificates and clocks",
		Long: `probe does what the plugin does at start with $.options.lazyConnect false, for each endpoint even where one fails, and shows
more of it: which keys can be used and why others can't, certificates and when they end, and how far the provider's clock is
from this machine's. The endpoint that says whether a token has been revoked is asked about a made-up one: that shows whether
it takes the credentials of the file. With several providers it goes through all of them, whatever becomes of one.

The file is the broker's: as root, it and what it names are read as the broker's user (--as), and nothing of root's environment
goes with it but what --env names.`,
		Example: `  go-jwt-auth probe --config /etc/mosquitto/jwt.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := as.findFor(cmd, file)
			switch {
			case err != nil:
				return err
			case u != nil:
				return c.become(cmd, u, as.env, nil)
			}
			return c.probe(cmd.Context(), file)
		},
	}
	as.flags(cmd)
	cmd.Flags().StringVar(&file, "config", "", "the jwt.json (the usual places)")
	return cmd
}

func (c *console) probe(ctx context.Context, file string) error {
	cfg, err := c.load(file)
	if err != nil {
		return err
	}
	built, err := newChain(cfg, time.Now)
	if err != nil {
		return err
	}
	defer built.Close()
	reports := c.inspectAll(ctx, built)
	report := probeReport{File: cfg.File, Works: verdictOn(reports) == nil}
	if hasNames(cfg) {
		report.Providers = reports
	} else {
		report.providerReport = &reports[0]
	}
	c.showProbe(cfg, reports)
	if err := c.object(report); err != nil {
		return err
	}
	return verdictOn(reports)
}

// hasNames tells whether the providers of a file have names; otherwise there is one.
func hasNames(cfg *config.Config) bool { return cfg.Providers[0].Name != "" }

// inspectAll looks at all providers at once, and returns what it saw in the file's order. The failure of one is its own.
func (c *console) inspectAll(ctx context.Context, built *chain.Chain) []providerReport {
	reports := make([]providerReport, len(built.Providers()))
	var all sync.WaitGroup
	for i, p := range built.Providers() {
		all.Go(func() {
			defer guard.Catch(func(fault error) {
				reports[i] = newProviderReport(p.Name())
				reports[i].fault("fault: "+fault.Error(), true)
			})
			c.waitFor(ctx, addresses(p.Config())...)
			reports[i] = inspect(ctx, p)
		})
	}
	all.Wait()
	return reports
}

// soon is how long before its end a certificate is warned about.
const soon = 14 * 24 * time.Hour

func newProviderReport(name string) providerReport {
	return providerReport{
		Name: name, Works: true,
		Endpoints: []endpointReport{}, Keys: []keyReport{}, Skipped: []string{}, Warnings: []string{}, Faults: []string{},
	}
}

func inspect(ctx context.Context, p *provider.Provider) providerReport {
	seen, r := p.Inspect(ctx), newProviderReport(p.Name())
	r.Skipped = append(r.Skipped, seen.Keys.Skipped...)
	for _, k := range seen.Keys.Keys() {
		r.Keys = append(r.Keys, keyReport(k))
	}
	for _, fault := range seen.Faults {
		r.fault(fault.Error(), unavailable(fault))
	}
	reached := !slices.ContainsFunc(seen.Endpoints, func(e provider.Endpoint) bool { return e.Err != nil })
	now := time.Now()
	for _, e := range seen.Endpoints {
		one := newEndpointReport(e, now)
		switch {
		case e.Err != nil:
		case e.Revocation:
			r.askRevocation(ctx, p, &one)
		case seen.KeysRead:
			one.Doubt = "" // many don't know HEAD
		case reached:
			one.bad = true
		}
		r.Endpoints = append(r.Endpoints, one)
		r.Warnings = append(r.Warnings, doubts(one, p.Config())...)
	}
	return r
}

// unavailable tells whether err means that the provider is not there now, which says nothing about the file.
func unavailable(err error) bool {
	for _, errno := range []error{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ETIMEDOUT,
		context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	var status *endpoint.StatusError
	return errors.As(err, new(*net.DNSError)) || errors.As(err, &status) && busy(status.Status)
}

// busy are the answers of a provider that can't answer now.
func busy(status int) bool {
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
}

// askRevocation asks the revocation endpoint about a token that can't be active.
func (r *providerReport) askRevocation(ctx context.Context, p *provider.Provider, asked *endpointReport) {
	answer, fault := askOfMadeUp(ctx, p)
	asked.Revocation = answer
	if fault == "" {
		asked.Doubt = "" // it did answer
		return
	}
	asked.bad = true
	if answer != answersActive && p.Config().Revocation.OnUnavailable == config.UnavailableAllow {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s: %s; %s lets everybody in who has a token", asked.Path, fault, p.Key("options.revocation.onUnavailable")))
		return
	}
	r.fault(asked.Path+": "+fault, busy(asked.Status))
}

const answersActive = "active, which nothing that is made up can be"

// askOfMadeUp returns what the endpoint said, in words, and what is wrong with that, if anything.
func askOfMadeUp(ctx context.Context, p *provider.Provider) (answer, fault string) {
	switch active, err := p.AskOfMadeUp(ctx); {
	case err != nil:
		return "no answer that can be used: " + err.Error(), err.Error()
	case active:
		return answersActive, "it says of a made-up token that it is active: it would let revoked ones in"
	default:
		return "not active, as it should be", ""
	}
}

func newEndpointReport(e provider.Endpoint, now time.Time) endpointReport {
	r := endpointReport{What: e.What, URI: e.URI, Path: e.Path, Doubt: e.Doubt}
	if e.Err != nil {
		r.Error = e.Err.Error()
		return r
	}
	r.Status, r.Millis = e.Answer.Status, e.Answer.Took.Milliseconds()
	if date, err := http.ParseTime(e.Answer.Header.Get("Date")); err == nil {
		// It was cut down to whole seconds: half of one is the best guess at what is missing.
		skew := date.Add(time.Second / 2).Sub(now).Truncate(time.Second).Seconds()
		r.SkewSeconds = &skew
	}
	if e.Answer.TLS == nil {
		return r
	}
	r.TLS = tls.VersionName(e.Answer.TLS.Version)
	if certs := e.Answer.TLS.PeerCertificates; len(certs) > 0 {
		leaf := certs[0]
		r.Certificate = &certificateReport{
			Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Names: append([]string{}, leaf.DNSNames...),
			NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, DaysLeft: int(leaf.NotAfter.Sub(now).Hours() / 24),
		}
		for _, ip := range leaf.IPAddresses {
			r.Certificate.Names = append(r.Certificate.Names, ip.String())
		}
	}
	return r
}

// doubts are what works today and may not tomorrow.
func doubts(r endpointReport, p *config.Provider) (all []string) {
	if r.Doubt != "" {
		all = append(all, fmt.Sprintf("%s: HTTP %d; %s", r.URI, r.Status, r.Doubt))
	}
	if config.Plaintext(r.URI) {
		all = append(all, r.URI+": "+config.PlaintextWarning)
	}
	if r.Certificate != nil && time.Until(r.Certificate.NotAfter) < soon {
		all = append(all, fmt.Sprintf("%s: its certificate ends on %s", r.URI, r.Certificate.NotAfter.UTC().Format(time.RFC3339)))
	}
	// Two seconds are within what Date and the way there can hide.
	if r.SkewSeconds != nil {
		if skew := time.Duration(*r.SkewSeconds) * time.Second; skew.Abs() > max(p.Common.Leeway, 2*time.Second) {
			all = append(all, fmt.Sprintf("%s: %s; set the clocks by NTP, or %s", r.URI, skewText(*r.SkewSeconds), p.Path.Key("options.common.leewayMs")))
		}
	}
	return all
}

func skewText(seconds float64) string {
	switch {
	case seconds > 0:
		return fmt.Sprintf("its clock is %.0f s ahead of this machine's", seconds)
	case seconds < 0:
		return fmt.Sprintf("its clock is %.0f s behind this machine's", -seconds)
	default:
		return "its clock agrees with this machine's"
	}
}

func (c *console) showProbe(cfg *config.Config, reports []providerReport) {
	c.printf("%s: %s\n", cfg.File, plugin.Describe(cfg))
	for _, r := range reports {
		if r.Name != "" {
			c.printf("\nprovider %s\n", r.Name)
		}
		c.showProvider(r)
	}
}

func (c *console) showProvider(r providerReport) {
	for _, e := range r.Endpoints {
		if e.Error != "" {
			c.printf("%s %s %s\n    %s\n", c.mark(false), e.What, e.URI, c.bad.of("%s", e.Error))
			continue
		}
		mark := c.mark(!e.bad)
		if e.Doubt != "" && !e.bad {
			mark = c.doubtful.of("!")
		}
		c.printf("%s %s %s\n    HTTP %d in %d ms", mark, e.What, e.URI, e.Status, e.Millis)
		if e.SkewSeconds != nil {
			c.printf("; %s", skewText(*e.SkewSeconds))
		}
		c.printf("\n")
		if e.Revocation != "" {
			c.printf("    asked about a made-up token: %s\n", e.Revocation)
		}
		if cert := e.Certificate; cert != nil {
			c.printf("    %s, certificate of %s for %s by %s, until %s (%s left)\n", e.TLS, cert.Subject, strings.Join(cert.Names, ", "),
				cert.Issuer, cert.NotAfter.UTC().Format(time.DateOnly), count(cert.DaysLeft, "day"))
		}
	}
	for _, k := range r.Keys {
		name := "without kid"
		if k.ID != "" {
			name = "kid " + verdict.Quote(k.ID)
		}
		c.printf("%s key %s: %s, %d bits, for %s\n", c.mark(true), name, k.Kind, k.Bits, strings.Join(k.Algorithms, ", "))
	}
	for _, text := range r.Skipped {
		c.printf("%s %s\n", c.faint.of("·"), text)
	}
	for _, text := range r.Warnings {
		c.printf("%s\n", c.doubtful.of("note: %s", text))
	}
	for _, text := range r.Faults {
		c.printf("%s\n", c.bad.of("%s", text))
	}
	if r.Works {
		c.printf("%s\n", c.good.of("the plugin can work with this"))
	}
}
