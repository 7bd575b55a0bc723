package rds

import (
	"cmp"
	"context"
	"strings"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/location"
)

// Access is how a client signs in to AWS. What is empty is left to the SDK.
type Access struct {
	Region string
	// AccessKeyID and SecretAccessKey are a key pair; SessionToken belongs to a temporary one.
	AccessKeyID                   string
	SecretAccessKey, SessionToken function.Secret
	// Role is the ARN of a role to assume; empty for none.
	Role string
}

// sources of credentials.
const (
	sourceProfile = "profile"
	sourceSecret  = "secret"
)

// credentials say how the functions sign in to AWS.
type credentials struct {
	CredentialsSource string `arg:"credentialsSource" default:"profile" enum:"profile,secret,eks_service_account,serviceaccount" doc:"Where the AWS credentials come from; the last two are one: the host's surroundings."`
	CredentialsSecret string `arg:"credentialsSecret,optional" doc:"Name of the secret, among the action's or the phase's, where the source is secret."`
	Region            string `arg:"region,optional" doc:"AWS region; the profile's if unset, or else that of the host program's surroundings."`
}

// checkCredentials finds a missing name of the secret.
func checkCredentials(args map[string]any) []function.Problem {
	source, _ := args["credentialsSource"].(string)
	return function.RequireWith(args, strings.EqualFold(source, sourceSecret), "where credentialsSource is secret", "credentialsSecret")
}

// access finds the credentials of a call.
func (c credentials) access(call *function.Call) (Access, error) {
	loc, err := profileOf(call)
	if err != nil && c.CredentialsSource == sourceProfile {
		return Access{}, err
	}
	region := c.Region
	if err == nil && loc.Type == location.TypeS3 {
		region = cmp.Or(region, loc.Region)
	}
	switch c.CredentialsSource {
	case sourceProfile:
		return accessOf(loc, region)
	case sourceSecret:
		data, known := call.Secrets[c.CredentialsSecret]
		if !known {
			return Access{}, wrong("secret %q of argument credentialsSecret is neither among the action's secrets nor among the phase's objects", c.CredentialsSecret)
		}
		values := map[string][]byte{}
		for _, key := range []string{"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "role"} {
			values[key] = []byte(data[key].Reveal())
		}
		access, err := accessOf(&location.Location{Type: location.TypeS3, Credential: location.NewSecret("secrets.kanister.io/aws", values)}, region)
		if err != nil {
			return Access{}, wrong("secret %q: %w", c.CredentialsSecret, err)
		}
		return access, nil
	default:
		return Access{Region: region}, nil
	}
}

// profileOf reads the run's profile.
func profileOf(call *function.Call) (*location.Location, error) {
	if !call.Profile.IsSet() {
		return nil, wrong("the action has no profile: give it one, or set credentialsSource to secret or eks_service_account")
	}
	loc, err := location.ParseProfile([]byte(call.Profile.Reveal()))
	if err != nil {
		return nil, function.Permanent(err)
	}
	return loc, nil
}

func accessOf(loc *location.Location, region string) (Access, error) {
	c, err := loc.AWS()
	if err != nil {
		return Access{}, function.Permanent(err)
	}
	return Access{
		Region: region, AccessKeyID: c.AccessKeyID, SecretAccessKey: function.NewSecret(c.SecretAccessKey),
		SessionToken: function.NewSecret(c.SessionToken), Role: c.Role,
	}, nil
}

// hidden replaces what of an access must not be seen. AWS repeats some of it in its answers.
func (a Access) hidden() *strings.Replacer {
	var pairs []string
	for _, s := range []string{a.SecretAccessKey.Reveal(), a.SessionToken.Reveal(), a.AccessKeyID} {
		if s != "" {
			pairs = append(pairs, s, "[masked]")
		}
	}
	return strings.NewReplacer(pairs...)
}

// session is one call of a function on one account.
type session struct {
	*deps
	call   *function.Call
	client Client
	hide   *strings.Replacer
	// owner is the tag that what this phase makes has.
	owner string
}

// session signs in.
func (d *deps) session(ctx context.Context, call *function.Call, c credentials) (*session, error) {
	access, err := c.access(call)
	if err != nil {
		return nil, err
	}
	s := &session{deps: d, call: call, hide: access.hidden(), owner: call.Name("rds")}
	// a call whose context has ended may still have to remove something
	if s.client, err = d.NewClient(context.WithoutCancel(ctx), access); err != nil {
		return nil, s.answer("sign in to AWS", err)
	}
	return s, nil
}
