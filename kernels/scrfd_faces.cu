// One level of SCRFD's outputs to faces (Guo et al., ICLR 2022): decoded only where the score is above the threshold.
//
//   corner = (column, row) . stride, each cell twice;  box = (corner - d[0:2] stride, corner + d[2:4] stride) / factor
//   point = (corner + mark stride) / factor: displayed pixels
//
// One thread an anchor. Faces are appended in no order, with their frame and anchor (`first` on, over all levels), by
// which the launcher sorts them.

extern "C" __global__ void scrfd_faces(const float* distance, const float* conf, const float* marks, int n, int anchors,
                                       int columns, int stride, int first, float score, float factor, int* count,
                                       int* found, float* faces) {
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (long long)n * anchors || !(conf[at] > score)) return;
    int frame = (int)(at / anchors), k = (int)(at % anchors);
    float x = (float)(k / 2 % columns * stride), y = (float)(k / 2 / columns * stride);
    const float* d = distance + at * 4;
    int place = atomicAdd(count, 1);
    found[place * 2] = frame, found[place * 2 + 1] = first + k;
    float* face = faces + place * 15LL;
    face[0] = (x - d[0] * stride) / factor, face[1] = (y - d[1] * stride) / factor;
    face[2] = (x + d[2] * stride) / factor, face[3] = (y + d[3] * stride) / factor;
    face[4] = conf[at];
    for (int i = 0; i < 10; ++i) face[5 + i] = ((i % 2 ? y : x) + marks[at * 10 + i] * stride) / factor;
}
