package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/discovery"
	"go-jwt-auth/plugin/verdict"
)

// secretVariable is the environment variable that may hold the client's secret.
const secretVariable = "CLIENT_SECRET"

// grant is what token is asked for.
type grant struct {
	issuer, clientID, secretFile, audience, caFile, auth string
	scopes                                               []string
	device                                               bool
}

// tokenObject is what token prints with --json: it is the token response (RFC 6749 §5.1), with the time instead of seconds.
type tokenObject struct {
	AccessToken string     `json:"access_token"`
	TokenType   string     `json:"token_type"`
	Expires     *time.Time `json:"expires,omitempty"`
}

func newToken(c *console) *cobra.Command {
	var g grant
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Get an access token from a provider",
		Long: `token gets an access token by client credentials (RFC 6749 §4.4) or, with --device, by a login in a browser on any other machine
(RFC 8628), and prints it alone on standard output. The addresses are read from the issuer.

The client's secret comes from --client-secret-file, "-" for standard input, or from the environment variable CLIENT_SECRET;
there is no flag for it, since every user of the machine sees command lines.`,
		Example: `  go-jwt-auth token --issuer https://id.example.com --client-id sensor-1 --client-secret-file secret.txt
  go-jwt-auth token --issuer https://id.example.com --client-id my-laptop --device --scope openid`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := c.obtain(cmd.Context(), g)
			if err != nil {
				return err
			}
			if err := c.token(token.AccessToken); err != nil {
				return err
			}
			object := tokenObject{AccessToken: token.AccessToken, TokenType: token.Type()}
			if !token.Expiry.IsZero() {
				object.Expires = &token.Expiry
			}
			return c.object(object)
		},
	}
	cmd.Flags().StringVar(&g.issuer, "issuer", "", "the provider's issuer")
	cmd.Flags().StringVar(&g.clientID, "client-id", "", "the client id")
	cmd.Flags().StringVar(&g.secretFile, "client-secret-file", "", `the file that holds its secret, "-" for standard input`)
	cmd.Flags().StringArrayVar(&g.scopes, "scope", nil, "a scope to ask for; may be repeated")
	cmd.Flags().StringVar(&g.audience, "audience", "", "the audience to ask for, as Auth0 and others want it")
	cmd.Flags().BoolVar(&g.device, "device", false, "log in with a browser, on any machine")
	cmd.Flags().StringVar(&g.auth, "client-auth", "", "how the secret is sent: basic (a header) or post (in the form); empty: as the provider's document says")
	_ = cmd.RegisterFlagCompletionFunc("client-auth", cobra.FixedCompletions([]string{authBasic, authPost}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&g.caFile, "ca-file", "", "a private certificate authority, in PEM")
	_ = cmd.MarkFlagRequired("issuer")
	_ = cmd.MarkFlagRequired("client-id")
	return cmd
}

// token prints what is asked for, alone and unchanged. It is no line of ours that a provider could write.
func (c *console) token(token string) error {
	// RFC 6749 Appendix A.12
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return errors.New("the provider's access_token holds characters that no token has (RFC 6749 Appendix A.12), and is not shown")
	}
	if c.json {
		return nil
	}
	_, err := fmt.Fprintln(c.out, token)
	return err
}

// The values of --client-auth.
const (
	authBasic = "basic"
	authPost  = "post"
)

// authStyle is how the client's secret is sent. To try one and then the other would send it twice, and count as two failed
// logins.
func (g grant) authStyle(secret string, methods []string) (oauth2.AuthStyle, error) {
	switch {
	case g.auth == authPost, g.auth == "" && secret == "":
		return oauth2.AuthStyleInParams, nil
	case g.auth == authBasic:
		return oauth2.AuthStyleInHeader, nil
	case g.auth != "":
		return 0, fmt.Errorf("--client-auth: must be %s or %s, found %q", authBasic, authPost, g.auth)
	// What a document leaves out is client_secret_basic (OpenID Connect Discovery §3).
	case len(methods) > 0 && !slices.Contains(methods, "client_secret_basic") && slices.Contains(methods, "client_secret_post"):
		return oauth2.AuthStyleInParams, nil
	default:
		return oauth2.AuthStyleInHeader, nil
	}
}

func (c *console) obtain(ctx context.Context, g grant) (*oauth2.Token, error) {
	secret, err := c.secret(g)
	if err != nil {
		return nil, err
	}
	client, err := newClient(g.caFile)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	c.waitFor(ctx, g.issuer)
	doc, err := discovery.New(openID(g.issuer), client, time.Now).Document(ctx)
	if err != nil {
		return nil, err
	}
	if doc.TokenURI == "" {
		return nil, fmt.Errorf("%s names no token_endpoint", discovery.URI(g.issuer))
	}
	style, err := g.authStyle(secret, doc.TokenAuthMethods)
	if err != nil {
		return nil, err
	}
	c.warnOfPlaintext(g.issuer, doc.TokenURI, doc.DeviceAuthorizationURI)
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client.HTTP())
	if g.device {
		return c.deviceLogin(ctx, g, secret, doc, style)
	}
	if secret == "" {
		return nil, fmt.Errorf("client credentials need a secret: --client-secret-file, or the environment variable %s", secretVariable)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	asked := clientcredentials.Config{ClientID: g.clientID, ClientSecret: secret, TokenURL: doc.TokenURI, Scopes: g.scopes, AuthStyle: style}
	if g.audience != "" {
		asked.EndpointParams = url.Values{"audience": {g.audience}}
	}
	token, err := asked.Token(ctx)
	return token, explain(err)
}

// deviceLogin shows where to log in and waits until that is done; the library keeps to the provider's interval.
func (c *console) deviceLogin(ctx context.Context, g grant, secret string, doc discovery.Document, style oauth2.AuthStyle) (*oauth2.Token, error) {
	if doc.DeviceAuthorizationURI == "" {
		return nil, fmt.Errorf("%s names no device_authorization_endpoint: the provider, or its client, does not offer this login", discovery.URI(g.issuer))
	}
	asked := oauth2.Config{
		ClientID: g.clientID, ClientSecret: secret, Scopes: g.scopes,
		Endpoint: oauth2.Endpoint{TokenURL: doc.TokenURI, DeviceAuthURL: doc.DeviceAuthorizationURI, AuthStyle: style},
	}
	var more []oauth2.AuthCodeOption
	if g.audience != "" {
		more = append(more, oauth2.SetAuthURLParam("audience", g.audience))
	}
	began, err := asked.DeviceAuth(ctx, more...)
	if err != nil {
		return nil, explain(err)
	}
	if began.VerificationURIComplete != "" {
		c.tell("Open %s\nand see that it shows the code %s\n", began.VerificationURIComplete, began.UserCode)
	} else {
		c.tell("Open %s\nand enter the code %s\n", began.VerificationURI, began.UserCode)
	}
	token, err := asked.DeviceAccessToken(ctx, began)
	return token, explain(err)
}

// warnOfPlaintext is the plugin's warning for the addresses that this command uses.
func (c *console) warnOfPlaintext(uris ...string) {
	for i, uri := range uris {
		if config.Plaintext(uri) && !slices.Contains(uris[:i], uri) {
			c.tell("%s\n", c.doubtful.of("note: %s: %s", uri, config.PlaintextWarning))
		}
	}
}

// secret reads the client's secret from where it may stand; there may be none.
func (c *console) secret(g grant) (string, error) {
	var read []byte
	var err error
	switch g.secretFile {
	case "":
		return os.Getenv(secretVariable), nil
	case "-":
		read, err = io.ReadAll(io.LimitReader(c.in, maxInput))
	default:
		read, err = os.ReadFile(g.secretFile)
	}
	if err != nil {
		return "", fmt.Errorf("--client-secret-file: %w", err)
	}
	secret := strings.TrimRight(string(read), "\r\n")
	if secret == "" {
		return "", errors.New("--client-secret-file: it is empty")
	}
	return secret, nil
}

// explain makes of the library's error what a person can act on, without the answer's body, which may repeat a secret.
func explain(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return err
	}
	said := answer.ErrorCode
	if said == "" {
		said = "no reason given"
	}
	if answer.ErrorDescription != "" {
		said += " (" + answer.ErrorDescription + ")"
	}
	if answer.Response.StatusCode == http.StatusUnauthorized || answer.ErrorCode == "invalid_client" {
		said += "; where id and secret are right, the client may want them in another way: --client-auth"
	}
	return fmt.Errorf("the provider refuses: HTTP %d, %s", answer.Response.StatusCode, verdict.Phrase(said))
}
