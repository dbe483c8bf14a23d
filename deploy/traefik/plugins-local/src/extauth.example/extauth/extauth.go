// Package extauth is a middleware for Traefik, which interprets it (Yaegi). It asks extauth about each request, passes on
// whom it names and the limits it tells, refuses what it refuses, and reports when a request that holds a lease has ended.
package extauth

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// Config is what dynamic.yml says of the middleware. Without Done no ends are reported.
type Config struct {
	Check   string `json:"check,omitempty"`
	Done    string `json:"done,omitempty"`
	Token   string `json:"token,omitempty"`
	Timeout string `json:"timeout,omitempty"`
	Connect string `json:"connect,omitempty"`
}

// CreateConfig returns what holds where nothing is said.
func CreateConfig() *Config {
	return &Config{Timeout: "1s", Connect: "250ms"}
}

const (
	// Shorter than the 75 s after which extauth closes an idle connection.
	idleTimeout = 60 * time.Second
	doneTimeout = 10 * time.Second
	mostIdle    = 32
	longestBody = 64 << 10
	unavailable = `{"type":"about:blank","title":"Service Unavailable","status":503,` +
		`"detail":"The authorization service gave no usable answer. Try again shortly.",` +
		`"code":"authorization_unavailable","request_id":"%s"}`
)

// In the spelling of http.Header, so that they can be used as keys.
var (
	identity = []string{"X-Auth-Key-Id", "X-Auth-User-Id", "X-Auth-Scopes", "X-Auth-Tier"}
	limits   = []string{
		"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Ratelimit", "Ratelimit-Policy",
		"Deprecation", "Sunset",
	}
	refusal = []string{"Content-Type", "Cache-Control", "Www-Authenticate", "Retry-After"}
	// What a client can't say: identity, extauth's and other proxies' words, its address, another target.
	families  = []string{"X-Auth-", "X-Extauth-", "X-Original-", "X-Envoy-"}
	forgeries = []string{
		"X-Request-Id", "Forwarded", "X-Rewrite-Url", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
		"X-Forwarded-Method", "X-Forwarded-Uri",
	}
)

type middleware struct {
	next    http.Handler
	config  *Config
	checks  *http.Client
	reports *http.Client
}

// New returns the middleware before next.
func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	timeout, err := time.ParseDuration(config.Timeout)
	connect, other := time.ParseDuration(config.Connect)
	if err != nil || other != nil || config.Check == "" {
		return nil, fmt.Errorf("extauth: check must be an address, timeout and connect durations such as 1s")
	}
	return &middleware{next, config, client(connect, timeout, 0), client(connect, doneTimeout, mostIdle)}, nil
}

// client returns one with so many connections at most; 0 is any number. Connecting is part of the time.
func client(connect, timeout time.Duration, most int) *http.Client {
	dialer := &net.Dialer{Timeout: connect}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			// Yaegi takes no method for a function.
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
			IdleConnTimeout:     idleTimeout,
			MaxIdleConnsPerHost: mostIdle,
			MaxConnsPerHost:     most,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (m *middleware) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	id := newID()
	clean(req.Header)
	req.Header.Set("X-Request-Id", id)
	// Traefik builds the upstream's target of this text: let it be the one that extauth decides about.
	req.RequestURI = req.URL.RequestURI()
	if req.Host == "" {
		// HTTP/1.0 may name none. Let both see the same.
		req.Host = "localhost"
	}

	answer, body, err := m.ask(req, id)
	if err != nil {
		// There may be a lease that no answer told of.
		m.report(id, "")
		refuse(rw, req, http.Header{
			"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}, "Retry-After": {"1"},
		}, http.StatusServiceUnavailable, []byte(fmt.Sprintf(unavailable, id)))
		return
	}
	if answer.StatusCode != http.StatusOK {
		refuse(rw, req, answer.Header, answer.StatusCode, body)
		return
	}
	if lease := answer.Header.Get("X-Extauth-Lease"); lease != "" {
		defer m.report(id, lease)
	}
	dropKey(req.Header)
	for _, name := range identity {
		if value := answer.Header.Get(name); value != "" {
			req.Header.Set(name, value)
		}
	}
	for _, name := range limits {
		if lines := answer.Header[name]; len(lines) > 0 {
			// In lower case, which is all one to clients, these survive the removal of the upstream's own in dynamic.yml.
			rw.Header()[strings.ToLower(name)] = lines
		}
	}
	m.next.ServeHTTP(rw, req)
}

// ask returns extauth's answer; an error where there is none, or none that extauth gives.
func (m *middleware) ask(req *http.Request, id string) (*http.Response, []byte, error) {
	check, err := http.NewRequestWithContext(req.Context(), http.MethodGet, m.config.Check, nil)
	if err != nil {
		return nil, nil, err
	}
	check.Header = http.Header{
		"X-Forwarded-Method": {req.Method},
		"X-Forwarded-Uri":    {req.RequestURI},
		"X-Forwarded-Host":   {req.Host},
		"X-Request-Id":       {id},
		"User-Agent":         {""},
	}
	// All lines of them: two are refused.
	copyLines(check.Header, req.Header, []string{"Authorization", "X-Api-Key", "X-Forwarded-Proto", "Traceparent"})
	if address, _, err := net.SplitHostPort(req.RemoteAddr); err == nil {
		check.Header.Set("X-Extauth-Client-Ip", address)
	}
	answer, err := m.checks.Do(check)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, longestBody))
	if err != nil {
		return nil, nil, err
	}
	problem := answer.Header.Get("Content-Type") == "application/problem+json"
	if answer.StatusCode != http.StatusOK && (answer.StatusCode < 400 || !problem) {
		return nil, nil, fmt.Errorf("extauth answered %d", answer.StatusCode)
	}
	return answer, body, nil
}

// report tells that a request has ended, and waits for nobody.
func (m *middleware) report(id, lease string) {
	if m.config.Done == "" {
		return
	}
	go func() {
		done, err := http.NewRequest(http.MethodPost, m.config.Done, nil)
		if err != nil {
			return
		}
		done.Header.Set("X-Request-Id", id)
		if lease != "" {
			done.Header.Set("X-Extauth-Lease", lease)
		}
		if m.config.Token != "" {
			done.Header.Set("Authorization", "Bearer "+m.config.Token)
		}
		if answer, err := m.reports.Do(done); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
	}()
}

func refuse(rw http.ResponseWriter, req *http.Request, from http.Header, status int, body []byte) {
	copyLines(rw.Header(), from, limits)
	copyLines(rw.Header(), from, refusal)
	if req.ContentLength != 0 {
		// Else Go reads up to 256 kB of the body before it answers.
		rw.Header().Set("Connection", "close")
	}
	rw.Header().Set("Content-Length", fmt.Sprint(len(body)))
	rw.WriteHeader(status)
	_, _ = rw.Write(body)
}

func clean(header http.Header) {
	for name := range header {
		for _, family := range families {
			if strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), family) {
				delete(header, name)
			}
		}
	}
	for _, name := range forgeries {
		header.Del(name)
	}
}

// dropKey removes the key from a request. A Bearer credential is one, other schemes belong to the upstream.
func dropKey(header http.Header) {
	header.Del("X-Api-Key")
	for _, value := range header["Authorization"] {
		if scheme, _, _ := strings.Cut(strings.TrimLeft(value, " \t")+" ", " "); strings.EqualFold(strings.TrimSpace(scheme), "bearer") {
			header.Del("Authorization")
			return
		}
	}
}

func copyLines(to, from http.Header, names []string) {
	for _, name := range names {
		if lines := from[name]; len(lines) > 0 {
			to[name] = lines
		}
	}
}

func newID() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random)
	return hex.EncodeToString(random)
}
