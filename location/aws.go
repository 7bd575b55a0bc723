package location

import "strings"

const (
	keyAWSID      = "aws_access_key_id"
	keyAWSSecret  = "aws_secret_access_key"
	keyAWSSession = "aws_session_token"
	keyAWSRole    = "role"
)

var awsSchema = schema{location: TypeS3, secretType: secretAWS, id: keyAWSID, secret: keyAWSSecret, more: []string{keyAWSSession, keyAWSRole}}

// AWS is the location's credential for s3Compliant: a keyPair of an access key and its secret key, or a secret of type secrets.kanister.io/aws
// with aws_access_key_id, aws_secret_access_key, aws_session_token and role, any of which may be absent. Without the keys, and without a credential, it is that of
// the surroundings. What is wrong is ErrProfile.
func (l *Location) AWS() (AWSCredential, error) {
	f, err := l.fields(awsSchema)
	if err != nil {
		return AWSCredential{}, err
	}
	c := AWSCredential{AccessKeyID: f.get(keyAWSID), SecretAccessKey: f.get(keyAWSSecret), SessionToken: f.get(keyAWSSession), Role: f.get(keyAWSRole)}
	switch {
	case c.AccessKeyID == "" && c.SecretAccessKey != "":
		return AWSCredential{}, f.wrong(keyAWSID, "is missing: give both keys, or none for the identity of the surroundings")
	case c.AccessKeyID != "" && c.SecretAccessKey == "":
		return AWSCredential{}, f.wrong(keyAWSSecret, "is missing: give both keys, or none for the identity of the surroundings")
	case c.SessionToken != "" && c.AccessKeyID == "":
		return AWSCredential{}, f.wrong(keyAWSSession, "is of no use without aws_access_key_id and aws_secret_access_key: give them too")
	case c.Role != "" && (!strings.HasPrefix(c.Role, "arn:") || strings.Count(c.Role, ":") < 5):
		return AWSCredential{}, f.wrong(keyAWSRole, "is no ARN: give one such as arn:aws:iam::123456789012:role/backup")
	}
	return c, nil
}

// NewAWS makes a credential, so that a host need not know the keys of a Secret.
func NewAWS(c AWSCredential) Credential {
	return newSecret(secretAWS, map[string]string{keyAWSID: c.AccessKeyID, keyAWSSecret: c.SecretAccessKey, keyAWSSession: c.SessionToken, keyAWSRole: c.Role})
}
