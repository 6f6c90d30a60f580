export * from './generic.ts'
export * from './message.ts'
export * from './route.ts'
export { RouteSocket } from './socket.ts'
