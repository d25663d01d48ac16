// A server of HTTPS that has OpenSSL linked into itself: linked CERT KEY.
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

static void serve(SSL *s)
{
	char b[4096];

	if (SSL_accept(s) != 1)
		return;
	while (SSL_read(s, b, sizeof(b)) > 0) // a request of the tests is one record
		SSL_write(s, answer, sizeof(answer) - 1);
	SSL_shutdown(s);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(at);
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	int l = socket(AF_INET, SOCK_STREAM, 0);

	if (argc != 3 || SSL_CTX_use_certificate_file(context, argv[1], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1 ||
	    bind(l, (struct sockaddr *)&at, length) || listen(l, 8) || getsockname(l, (struct sockaddr *)&at, &length))
		return 1;
	printf("127.0.0.1:%d\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept(l, 0, 0);
		SSL *s = SSL_new(context);

		SSL_set_fd(s, fd);
		serve(s);
		SSL_free(s);
		close(fd);
	}
}
