package demo

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokenLife is how long a login lasts.
const tokenLife = time.Hour

// users are public: the description names them. Each owns one account; the
// clerk sees all.
func users() map[string]user {
	return map[string]user{
		"ada":   {password: "analytical-engine", account: "ac-1001"},
		"chidi": {password: "what-we-owe", account: "ac-1003"},
		"clerk": {password: "keeper-of-the-ledger", clerk: true},
	}
}

type user struct {
	password, account string
	clerk             bool
}

type claims struct {
	Account string `json:"account,omitempty"`
	Clerk   bool   `json:"clerk,omitempty"`
	jwt.RegisteredClaims
}

type claimsKey struct{}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	var in struct{ Username, Password string }
	if !decode(w, r, &in) {
		return
	}
	u, known := users()[in.Username]
	// Equal work whether the name is known or not.
	given, right := sha256.Sum256([]byte(in.Password)), sha256.Sum256([]byte(u.password))
	if subtle.ConstantTimeCompare(given[:], right[:]) != 1 || !known {
		refuse(w, http.StatusUnauthorized, "the name or the password is wrong")
		return
	}
	expires := a.now().Add(tokenLife)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		Account: u.account, Clerk: u.clerk,
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: "harbour", Subject: in.Username, IssuedAt: jwt.NewNumericDate(a.now()), ExpiresAt: jwt.NewNumericDate(expires),
		},
	}).SignedString(a.key)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the token could not be signed")
		return
	}
	answer(w, http.StatusOK, map[string]any{"token": token, "expires": expires.UTC().Format(time.RFC3339)})
}

// signedIn lets only requests with a valid token through.
func (a *app) signedIn(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := a.verify(r.Header.Get("Authorization"))
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, err.Error())
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, c)))
	}
}

func (a *app) verify(header string) (*claims, error) {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, fmt.Errorf("sign in at POST /login and send the token as Authorization: Bearer")
	}
	c := &claims{}
	_, err := jwt.ParseWithClaims(token, c, func(*jwt.Token) (any, error) { return a.key, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer("harbour"), jwt.WithExpirationRequired(), jwt.WithTimeFunc(a.now))
	if err != nil {
		return nil, fmt.Errorf("the token is not valid: %w", err)
	}
	return c, nil
}

// caller is who signed in; only behind signedIn.
func caller(r *http.Request) *claims {
	c, _ := r.Context().Value(claimsKey{}).(*claims)
	return c
}

// may says whether the caller may see an account.
func (c *claims) may(account string) bool { return c.Clerk || c.Account == account }
