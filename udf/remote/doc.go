// Package remote serves functions of the SDK (udf/sdk) to Volley workers by gRPC:
// what CREATE FUNCTION … LANGUAGE grpc AS 'host:port', 'Symbol' connects to. It is
// apart from the SDK so that the SDK needs the standard library only.
//
//	func main() {
//		lis, err := net.Listen("tcp", ":7070")
//		…
//		err = remote.Serve(ctx, lis, remote.Options{}, udf.Scalar("Score", score))
//	}
package remote
