// How sharp each face is: the variance of the Laplacian on its warped luma.
//
//   g = round(bilinear warp of the luma at full range, 0 outside)           (112, 112)
//   q(x, y) = g(x-1, y) + g(x+1, y) + g(x, y-1) + g(x, y+1) - 4 g(x, y)      mirrored at the border, its edge not doubled
//   out[f] = (N sum q^2 - (sum q)^2) / N^2,  N = 112^2
//
// The map leads from the crop to CODED pixels. q is whole, so the sums are exact in any order. One block a face.
#include "frame.cuh"

constexpr int SIZE = 112, THREADS = 256;

__device__ inline float full_range(const Frame& f, int x, int y) {
    float code = sample(f.luma + y * f.luma_pitch, x, f.wide);
    return rintf(clipped((code - f.black) * f.gain));
}

__device__ inline unsigned char warped(const Frame& f, double u, double v) {
    if (!(u > -1.0 && v > -1.0 && u < f.width && v < f.height)) return 0;
    int left = (int)floor(u), top = (int)floor(v);
    float right_share = (float)(u - left), low_share = (float)(v - top), sum = 0.0f;
    for (int k = 0; k < 4; ++k) {
        int x = left + (k & 1), y = top + (k >> 1);
        float w = (k & 1 ? right_share : 1.0f - right_share) * (k >> 1 ? low_share : 1.0f - low_share);
        if (x >= 0 && y >= 0 && x < f.width && y < f.height) sum += w * full_range(f, x, y);
    }
    return (unsigned char)rintf(sum);
}

__device__ inline int mirrored(int i) { return i < 0 ? -i : i >= SIZE ? 2 * SIZE - 2 - i : i; }

extern "C" __global__ void sharpness(const Frame* frames, const int* which, const double* maps, float* out, int faces) {
    __shared__ unsigned char g[SIZE][SIZE];
    __shared__ long long sums[THREADS], squares[THREADS];
    int face = blockIdx.x, me = threadIdx.x;
    const Frame& frame = frames[which[face]];
    const double* a = maps + face * 6;
    for (int i = me; i < SIZE * SIZE; i += THREADS) {
        int x = i % SIZE, y = i / SIZE;
        g[y][x] = warped(frame, a[0] * x + a[1] * y + a[2], a[3] * x + a[4] * y + a[5]);
    }
    __syncthreads();
    long long sum = 0, square = 0;
    for (int i = me; i < SIZE * SIZE; i += THREADS) {
        int x = i % SIZE, y = i / SIZE;
        int q = g[y][mirrored(x - 1)] + g[y][mirrored(x + 1)] + g[mirrored(y - 1)][x] + g[mirrored(y + 1)][x] - 4 * g[y][x];
        sum += q, square += q * q;
    }
    sums[me] = sum, squares[me] = square;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (me < half) sums[me] += sums[me + half], squares[me] += squares[me + half];
        __syncthreads();
    }
    double n = SIZE * SIZE;
    if (me == 0) out[face] = (float)((n * squares[0] - (double)sums[0] * sums[0]) / (n * n));
}
