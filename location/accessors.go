package location

import "net/http"

// AWS is the location's credential for s3Compliant.
func (l *Location) AWS() (AWSCredential, error) { return AWSCredential{}, nil }

// Google is the location's credential for gcs.
func (l *Location) Google() (GoogleCredential, error) { return GoogleCredential{}, nil }

// Azure is the location's credential for azure.
func (l *Location) Azure() (AzureCredential, error) { return AzureCredential{}, nil }

// Transport is an HTTP transport with the location's certificates and proxy.
func (l *Location) Transport() (*http.Transport, error) {
	return http.DefaultTransport.(*http.Transport).Clone(), nil
}
