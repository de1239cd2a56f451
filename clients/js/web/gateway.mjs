// The gateway as a browser reaches it: by gRPC-Web, through the Envoy of deploy/envoy/grpc-web.yaml.

import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { GatewayService } from "@sensorium/stubs/sensorium/gateway/v1/gateway_pb.js";

import { withKey } from "../told.mjs";

/** A client of the gateway behind the proxy at `baseUrl`. */
export function connect(baseUrl, key) {
  return createClient(
    GatewayService,
    createGrpcWebTransport({ baseUrl, interceptors: [withKey(key)] }),
  );
}
